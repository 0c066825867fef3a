"""The whole run: the newest inventories, or the archive's own bucket → records → Kinto."""
