"""Rows of an inventory → records, in the same order."""
