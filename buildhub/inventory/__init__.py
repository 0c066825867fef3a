"""Where inventory rows come from: S3 inventories, their manifests and their files."""
