"""The commands: each parses its options, wires the rooms together and reports."""
