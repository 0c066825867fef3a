"""Chaotic runs: the three ways into Kinto against hostile servers, killed again and again."""
