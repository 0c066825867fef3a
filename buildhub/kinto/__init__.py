"""Publish: records into a Kinto collection. Knows nothing of the archive.

``client``       one HTTP door: credentials, time limits, retries, sentences for the operator
``batches``      many requests in one, and what became of each
``known``        what is on the server already, kept on disk between runs
``publisher``    a stream of records → the server → a summary
``conditional``  a few records that others may be writing at the same moment
"""

from .batches import Answer
from .client import Client, Refused
from .conditional import Outcome, store
from .known import Known
from .publisher import Publisher, Summary, checked

__all__ = [
    "Answer",
    "Client",
    "Known",
    "Outcome",
    "Publisher",
    "Refused",
    "Summary",
    "checked",
    "store",
]
