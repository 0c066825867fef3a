"""What an AWS event says, in whichever wrapping: which files of the archive have come.

An S3 notification reaches a Lambda bare, or inside an SNS message, an SQS message, an SQS
message around an SNS one, or as an EventBridge event; and any of them in a list with others.
All of these shapes can be told apart by their fields, so that no setting has to say which one
is in use. Nothing here knows what a build is, and nothing is fetched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

#: Envelopes in envelopes: SQS around SNS around ``Records`` are five levels, lists included.
DEEPEST = 12


class FilePublished(NamedTuple):
    """A file has come to the archive."""

    key: str  #: raw
    message: str | None = None  #: id of the SQS message that said so


class Ignored(NamedTuple):
    """An event that is none of our business: ``what`` it is, and why it is ignored."""

    what: str
    reason: str
    message: str | None = None


class Malformed(NamedTuple):
    """A record that can't be read, and would be no better if it were sent again."""

    reason: str
    message: str | None = None


Message = FilePublished | Ignored | Malformed


def unwrap(event: Any) -> list[Message]:
    """All that a Lambda's event says, in its order. ``event`` is decoded JSON; never raises.

    A record that is wrong becomes a :class:`Malformed` and does not hide the others.
    """
    return list(_unwrap(event, None, DEEPEST))


def is_queue_event(event: Any) -> bool:
    """Whether the event comes from SQS, which wants to be told of each message that failed."""
    records = event.get("Records") if isinstance(event, Mapping) else None
    return isinstance(records, list) and any(
        isinstance(record, Mapping) and record.get("eventSource") == "aws:sqs" for record in records
    )


def _unwrap(event: Any, message: str | None, levels: int) -> Iterator[Message]:
    if levels == 0:
        yield Malformed(f"the record is wrapped more than {DEEPEST} times", message)
    elif isinstance(event, list):
        for one in event:
            yield from _unwrap(one, message, levels - 1)
    elif isinstance(event, Mapping):
        yield from _open(event, message, levels - 1)
    else:
        yield Malformed(f"{_shown(event)} is no event", message)


def _open(event: Mapping[str, Any], message: str | None, levels: int) -> Iterator[Message]:
    if isinstance(event.get("Records"), list):
        yield from _unwrap(event["Records"], message, levels)
    elif isinstance(event.get("s3"), Mapping):
        yield _notification(event, message)
    elif isinstance(event.get("Sns"), Mapping):
        yield from _open_text(event["Sns"].get("Message"), message, levels)
    elif "body" in event:
        message_id = event.get("messageId")
        message = message_id if isinstance(message_id, str) else message
        yield from _open_text(event["body"], message, levels)
    elif "Message" in event:  # SNS in SQS, which unlike SNS itself has no ``Sns`` around it
        yield from _open_text(event["Message"], message, levels)
    elif "detail-type" in event:
        yield _bridged(event, message)
    elif event.get("Event") == "s3:TestEvent":
        yield Ignored("s3:TestEvent", "a test message of S3", message)
    else:
        yield Malformed(f"{_shown(event)} is no S3 event in any wrapping", message)


def _open_text(text: Any, message: str | None, levels: int) -> Iterator[Message]:
    """An event as a JSON string."""
    try:
        event = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        yield Malformed(f"{_shown(text)} is no event in JSON", message)
    else:
        yield from _unwrap(event, message, levels)


def _notification(record: Mapping[str, Any], message: str | None) -> Message:
    """A record of S3 itself. Its key is form-encoded (``Firefox+Setup+55.0.exe``)."""
    kind = record.get("eventName")
    key = _key(record["s3"])
    if not isinstance(kind, str) or key is None:
        return Malformed(f"{_shown(record)} has no eventName or no key", message)
    try:
        key = unquote_plus(key, errors="strict")
    except UnicodeDecodeError:
        return Malformed(f"the key {key!r} is not UTF-8", message)
    if not kind.removeprefix("s3:").startswith("ObjectCreated:"):
        return Ignored(key, f"the event is {kind}", message)
    return FilePublished(key, message)


def _bridged(event: Mapping[str, Any], message: str | None) -> Message:
    """An event of EventBridge. Its key is raw (``Firefox Setup 55.0.exe``)."""
    kind = event["detail-type"]
    if kind != "Object Created":
        return Ignored(_key(event.get("detail")) or "EventBridge", f"the event is {kind}", message)
    key = _key(event.get("detail"))
    return FilePublished(key, message) if key else Malformed(f"{_shown(event)} has no key", message)


def _key(facts: Any) -> str | None:
    """``facts["object"]["key"]``, if there is such a thing."""
    described = facts.get("object") if isinstance(facts, Mapping) else None
    key = described.get("key") if isinstance(described, Mapping) else None
    return key if isinstance(key, str) and key else None


def _shown(value: Any) -> str:
    """As much of a wrong value as a message can bear."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 200 else f"{text[:200]}…"
