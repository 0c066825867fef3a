"""Reads events, however they are wrapped: which files of the archive were published.

An S3 notification reaches a Lambda as it is, or inside an SNS message, an SQS message, an SQS
message around an SNS one, or as an EventBridge event. A notification of Google's bucket is a
Pub/Sub message, pushed or pulled, or a CloudEvent. Any of them may be in a list with others. The
fields tell these forms apart, so that no setting has to say which one is in use. Nothing here
knows what a build is, and nothing is fetched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

#: Levels of wrapping: SQS around SNS around ``Records`` are five, lists included.
MAX_LEVELS = 12

#: How the ``eventName`` of a file that was created or replaced begins.
_CREATED = "ObjectCreated:"

#: The same of Google's bucket: in a Pub/Sub message, and as the type of a CloudEvent.
_FINALIZED = ("OBJECT_FINALIZE", "google.cloud.storage.object.v1.finalized")


class FilePublished(NamedTuple):
    """A file was published on the archive."""

    key: str  #: raw
    message: str | None = None  #: id of the SQS message that it is in


class Ignored(NamedTuple):
    """An event that does not concern buildhub: ``what`` it is about, and why it is ignored."""

    what: str
    reason: str


class Malformed(NamedTuple):
    """A record that can't be read, now or when it is sent again."""

    reason: str


Message = FilePublished | Ignored | Malformed


def unwrap(event: Any) -> list[Message]:
    """Returns all that an event, decoded JSON, says, in its order; never raises.

    A record that is wrong becomes a :class:`Malformed` and does not hide the others.
    """
    return list(_unwrap(event, None, MAX_LEVELS))


def is_queue_event(event: Any) -> bool:
    """Tells if the event comes from SQS, to which each message that failed is reported."""
    records = event.get("Records") if isinstance(event, Mapping) else None
    return isinstance(records, list) and any(
        isinstance(record, Mapping) and record.get("eventSource") == "aws:sqs" for record in records
    )


def _unwrap(event: Any, message: str | None, levels: int) -> Iterator[Message]:
    if levels == 0:
        yield Malformed(f"the record is wrapped more than {MAX_LEVELS} times")
    elif isinstance(event, list):
        for item in event:
            yield from _unwrap(item, message, levels - 1)
    elif isinstance(event, Mapping):
        yield from _open(event, message, levels - 1)
    else:
        yield Malformed(f"{_shown(event)} is not an event")


def _open(event: Mapping[str, Any], message: str | None, levels: int) -> Iterator[Message]:
    if isinstance(event.get("Records"), list):
        yield from _unwrap(event["Records"], message, levels)
    elif isinstance(event.get("s3"), Mapping):
        yield _notification(event, message)
    elif isinstance(event.get("Sns"), Mapping):
        yield from _open_text(event["Sns"].get("Message"), message, levels)
    elif "body" in event:
        message_id = event.get("messageId")
        message = message_id if message_id and isinstance(message_id, str) else message
        yield from _open_text(event["body"], message, levels)
    elif "Message" in event:  # SNS in SQS, which unlike SNS itself has no ``Sns`` around it
        yield from _open_text(event["Message"], message, levels)
    elif "detail-type" in event:
        yield _bridged(event, message)
    elif event.get("Event") == "s3:TestEvent":
        yield Ignored("s3:TestEvent", "a test message of S3")
    else:
        yield from _open_google(event, message, levels)


def _open_google(event: Mapping[str, Any], message: str | None, levels: int) -> Iterator[Message]:
    attributes, data = event.get("attributes"), event.get("data")
    if isinstance(event.get("message"), Mapping):  # pushed, or pulled with its ackId
        yield from _unwrap(event["message"], message, levels)
    elif isinstance(attributes, Mapping):
        yield _object_event(attributes.get("eventType"), attributes.get("objectId"), event, message)
    elif "specversion" not in event:
        yield Malformed(f"{_shown(event)} is not an event in any known wrapping")
    elif isinstance(data, Mapping) and "message" in data:  # a CloudEvent around Pub/Sub
        yield from _unwrap(data, message, levels)
    else:
        yield _object_event(event.get("type"), _named(event), event, message)


def _named(event: Mapping[str, Any]) -> Any:
    """Returns the key that a CloudEvent names, in its data or, without any, as its subject."""
    data, subject = event.get("data"), event.get("subject")
    if isinstance(data, Mapping):
        return data.get("name")
    return subject.removeprefix("objects/") if isinstance(subject, str) else None


def _open_text(text: Any, message: str | None, levels: int) -> Iterator[Message]:
    try:
        event = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        yield Malformed(f"{_shown(text)} is not an event as JSON")
    else:
        yield from _unwrap(event, message, levels)


def _notification(record: Mapping[str, Any], message: str | None) -> Message:
    """Returns a record of S3 itself. Its key is form-encoded (``Firefox+Setup+55.0.exe``).

    Older tools, and people, leave out ``eventName``: then a file was created.
    """
    kind = record.get("eventName", _CREATED)
    key = _key(record["s3"])
    if not isinstance(kind, str) or key is None:
        return Malformed(f"{_shown(record)} has no valid eventName or no key")
    try:
        key = unquote_plus(key, errors="strict")
    except UnicodeDecodeError:
        return Malformed(f"the key {key!r} is not UTF-8")
    if not kind.removeprefix("s3:").startswith(_CREATED):
        return Ignored(key, f"the event is {kind}")
    return FilePublished(key, message)


def _bridged(event: Mapping[str, Any], message: str | None) -> Message:
    """Returns an event of EventBridge. Its key is raw (``Firefox Setup 55.0.exe``)."""
    kind = event["detail-type"]
    if kind != "Object Created":
        return Ignored(_key(event.get("detail")) or "EventBridge", f"the event is {kind}")
    return _published(_key(event.get("detail")), event, message)


def _object_event(kind: Any, key: Any, event: Mapping[str, Any], message: str | None) -> Message:
    """Reads an event about an object in Google's bucket. Its key is raw."""
    key = key if isinstance(key, str) else None
    if not isinstance(kind, str):
        return Malformed(f"{_shown(event)} has no type of event")
    if kind not in _FINALIZED:
        return Ignored(key or "Google", f"the event is {kind}")
    return _published(key, event, message)


def _published(key: str | None, event: Mapping[str, Any], message: str | None) -> Message:
    return FilePublished(key, message) if key else Malformed(f"{_shown(event)} has no key")


def _key(facts: Any) -> str | None:
    """Returns ``facts["object"]["key"]``, if there is such a thing."""
    described = facts.get("object") if isinstance(facts, Mapping) else None
    key = described.get("key") if isinstance(described, Mapping) else None
    return key if isinstance(key, str) and key else None


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 200 else f"{text[:200]}…"
