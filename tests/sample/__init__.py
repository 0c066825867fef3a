"""A small archive that ships with the source: see :mod:`tests.sample.tree`."""
