"""The commands: each parses its options, runs, and reports the result."""
