"""Answers searches in the language of Elasticsearch, from a copy of a Kinto collection."""
