"""The archive: its client, its metadata files, the cache of both."""
