"""The commands: each parses its options, runs, and reports the result.

What only a run needs is imported where it begins, not at the top of the modules: clients and event
loop take 0.1 to 0.3 s, which ``--help``, ``-V`` and usage errors do not need.
"""
