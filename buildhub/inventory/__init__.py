"""Inventory rows and where they come from: S3 inventories, listings, the archive's own bucket."""
