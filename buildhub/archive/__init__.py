"""What the archive says about a build: its client, its metadata files, their cache."""
