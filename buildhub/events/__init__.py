"""A file was published: its event, the builds that depend on it, their records."""
