"""Records into a Kinto collection and back. Knows nothing of the archive."""
