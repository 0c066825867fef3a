"""The keys of the archive that are builds. Pure: no I/O, no clock, no environment."""
