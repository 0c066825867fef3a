"""What a key of the archive says about a build. Pure: no I/O, no clock, no environment."""
