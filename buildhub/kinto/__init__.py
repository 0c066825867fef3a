"""Publish: records into a Kinto collection. Knows nothing of the archive.

``client``       one HTTP door: credentials, time limits, retries, sentences for the operator
``failures``     what an answer that is none, or a refusal, means
``batches``      many requests in one, and what became of each
``known``        what is on the server already, kept on disk between runs
``publisher``    a stream of records → the server → a summary
``conditional``  a few records that others may be writing at the same moment
"""

from .batches import Answer, checked
from .client import Client
from .conditional import Outcome, store
from .failures import Refused
from .known import Known
from .publisher import Publisher, Summary

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
