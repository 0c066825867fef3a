"""Files in ``CACHE_FOLDER`` that survive a run that is killed: SQLite stores and locks."""
