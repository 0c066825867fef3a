"""Every wrapping of an S3 event, and what is no event, against what they say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildhub.events.messages import FilePublished, Ignored, Malformed, is_queue_event, unwrap
from tests.support.google_events import (
    cloud_event,
    cloud_event_of_message,
    printed,
    pulled,
    pushed,
)
from tests.support.s3_events import bridged, created, in_sns, in_sqs, removed

EXE = "pub/firefox/releases/55.0/win64/fr/Firefox Setup 55.0.exe"
JSON = "pub/firefox/candidates/55.0-candidates/build3/win64/en-US/firefox-55.0.json"
TEST_MESSAGE = {
    "Service": "Amazon S3",
    "Event": "s3:TestEvent",
    "Time": "2017-08-08T17:06:52.030Z",
    "Bucket": "net-mozaws-prod-delivery-firefox",
    "RequestId": "5582815E1AEA5ADF",
    "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR",
}

#: name → event, what it says
TABLE: dict[str, tuple[Any, list[Any]]] = {
    "S3": (created(EXE), [FilePublished(EXE)]),
    "S3, several records": (created(EXE, JSON), [FilePublished(EXE), FilePublished(JSON)]),
    "SNS": (in_sns(created(EXE)), [FilePublished(EXE)]),
    "SNS, several": (
        in_sns(created(EXE), created(JSON)),
        [FilePublished(EXE), FilePublished(JSON)],
    ),
    "SQS": (
        in_sqs(created(EXE), created(JSON)),
        [FilePublished(EXE, "message-0"), FilePublished(JSON, "message-1")],
    ),
    "SQS, an empty messageId: none could be reported to the queue": (
        {"Records": [in_sqs(created(EXE))["Records"][0] | {"messageId": ""}]},
        [FilePublished(EXE)],
    ),
    "SQS around SNS": (in_sqs(in_sns(created(EXE), bare=True)), [FilePublished(EXE, "message-0")]),
    "SQS around EventBridge": (in_sqs(bridged(EXE)), [FilePublished(EXE, "message-0")]),
    "SNS around EventBridge": (in_sns(bridged(EXE)), [FilePublished(EXE)]),
    "EventBridge": (bridged(EXE), [FilePublished(EXE)]),
    "EventBridge through a pipe: a list": (
        [bridged(EXE), bridged(JSON)],
        [FilePublished(EXE), FilePublished(JSON)],
    ),
    "mixed": (
        {"Records": [*created(EXE)["Records"], *in_sns(created(JSON))["Records"], bridged(EXE)]},
        [FilePublished(EXE), FilePublished(JSON), FilePublished(EXE)],
    ),
    "as other stores name the event": (
        {"Records": [{"eventName": "s3:ObjectCreated:Put", "s3": {"object": {"key": "pub/a"}}}]},
        [FilePublished("pub/a")],
    ),
    "without a name of the event, by hand": (
        {"Records": [{"s3": {"object": {"key": "pub/a+b"}}}]},
        [FilePublished("pub/a b")],
    ),
    "no records": ({"Records": []}, []),
    "test message": (
        TEST_MESSAGE,
        [Ignored("s3:TestEvent", "a test message of S3")],
    ),
    "test message in SNS": (
        in_sns(TEST_MESSAGE),
        [Ignored("s3:TestEvent", "a test message of S3")],
    ),
    "test message in SQS": (
        in_sqs(TEST_MESSAGE),
        [Ignored("s3:TestEvent", "a test message of S3")],
    ),
    "removal": (removed(EXE), [Ignored(EXE, "the event is ObjectRemoved:Delete")]),
    "removal by EventBridge": (
        {**bridged(EXE), "detail-type": "Object Deleted"},
        [Ignored(EXE, "the event is Object Deleted")],
    ),
    "EventBridge of something else": (
        {"detail-type": "Scheduled Event", "detail": {}},
        [Ignored("EventBridge", "the event is Scheduled Event")],
    ),
    "Pub/Sub, pushed": (pushed(EXE), [FilePublished(EXE)]),
    "Pub/Sub, pushed without payload": (pushed(EXE, payload=False), [FilePublished(EXE)]),
    "Pub/Sub, pulled": (pulled(EXE), [FilePublished(EXE)]),
    "Pub/Sub, as gcloud prints it": (
        printed(pulled(EXE), pulled(JSON, payload=False)),
        [FilePublished(EXE), FilePublished(JSON)],
    ),
    "Pub/Sub, as gcloud prints nothing": ([], []),
    "CloudEvent": (cloud_event(EXE), [FilePublished(EXE)]),
    "CloudEvent without data": (
        {name: value for name, value in cloud_event(EXE).items() if name != "data"},
        [FilePublished(EXE)],
    ),
    "CloudEvents, a batch": (
        [cloud_event(EXE), cloud_event(JSON)],
        [FilePublished(EXE), FilePublished(JSON)],
    ),
    "CloudEvent around Pub/Sub": (cloud_event_of_message(EXE), [FilePublished(EXE)]),
    "removal in a CloudEvent": (
        cloud_event(EXE, "deleted"),
        [Ignored(EXE, "the event is google.cloud.storage.object.v1.deleted")],
    ),
    "CloudEvent of something else": (
        {"specversion": "1.0", "type": "google.cloud.audit.log.v1.written"},
        [Ignored("Google", "the event is google.cloud.audit.log.v1.written")],
    ),
}


@pytest.mark.parametrize(("event", "says"), TABLE.values(), ids=TABLE)
def test_every_wrapping_is_opened(event: Any, says: list[Any]) -> None:
    assert unwrap(event) == says


@pytest.mark.parametrize(
    ("raw", "encoded"),
    [
        ("Firefox Setup 55.0.exe", "Firefox+Setup+55.0.exe"),
        ("a+b.exe", "a%2Bb.exe"),
        ("Firefox (1).exe", "Firefox+%281%29.exe"),
        ("café%.dmg", "caf%C3%A9%25.dmg"),
    ],
)
def test_a_key_is_decoded_once_and_that_of_eventbridge_or_google_not_at_all(
    raw: str, encoded: str
) -> None:
    record = {"eventName": "ObjectCreated:Put", "s3": {"object": {"key": encoded}}}
    assert unwrap({"Records": [record]}) == [FilePublished(raw)]
    for event in (bridged(encoded), pushed(encoded), pulled(encoded), cloud_event(encoded)):
        assert unwrap(event) == [FilePublished(encoded)]


@pytest.mark.parametrize("kind", ["OBJECT_DELETE", "OBJECT_METADATA_UPDATE", "OBJECT_ARCHIVE"])
def test_other_notifications_of_google_s_bucket_are_ignored(kind: str) -> None:
    for event in (pushed(EXE, kind), pulled(EXE, kind), cloud_event_of_message(EXE, kind)):
        assert unwrap(event) == [Ignored(EXE, f"the event is {kind}")]


WRONG = [
    {"eventName": "ObjectCreated:Put", "s3": {"object": {"size": 3}}},
    {"eventName": "ObjectCreated:Put", "s3": {"object": {"key": ""}}},
    {"eventName": "ObjectCreated:Put", "s3": {"object": None}},
    {"eventName": "ObjectCreated:Put", "s3": {"object": {"key": "a%FF.exe"}}},
    {"eventName": None, "s3": {"object": {"key": "a.exe"}}},
    {"eventName": "ObjectCreated:Put"},
    {"EventSource": "aws:sns", "Sns": {"Message": "Hello from the console"}},
    {"EventSource": "aws:sns", "Sns": {"Message": None}},
    {"EventSource": "aws:sns", "Sns": {}},
    {"EventSource": "aws:sns", "Sns": {"Message": "[" * 100_000}},
    {"eventSource": "aws:sqs", "body": ""},
    {"eventSource": "aws:sqs", "body": '{"Records": 3}'},
    {"detail-type": "Object Created", "detail": {"object": {}}},
    {"detail-type": "Object Created"},
    {"message": {"attributes": {}, "messageId": "1"}, "subscription": "s"},
    {"message": {"data": "SGVsbG8="}, "subscription": "s"},
    {"message": "text", "subscription": "s"},
    {"attributes": {"eventType": "OBJECT_FINALIZE"}},
    {"attributes": {"eventType": "OBJECT_FINALIZE", "objectId": ""}},
    {"attributes": {"eventType": ["OBJECT_FINALIZE"], "objectId": EXE}},
    {"specversion": "1.0", "type": "google.cloud.storage.object.v1.finalized"},
    {"specversion": "1.0", "type": "google.cloud.storage.object.v1.finalized", "subject": 3},
    {"specversion": "1.0", "subject": f"objects/{EXE}"},
    {},
    None,
    "text",
    {"Records": "text"},
]


@pytest.mark.parametrize("record", WRONG, ids=lambda record: json.dumps(record)[:60])
def test_a_malformed_record_is_told_and_hides_no_other(record: Any) -> None:
    (first,), (before, after) = [created(JSON)["Records"], created(EXE, JSON)["Records"]]
    found = unwrap({"Records": [first, record, before, after]})
    assert [found[0], *found[2:]] == [FilePublished(JSON), FilePublished(EXE), FilePublished(JSON)]
    assert isinstance(found[1], Malformed)


def test_a_malformed_message_of_a_queue_leaves_the_next_its_id() -> None:
    event = in_sqs("not a notification", created(EXE))
    wrong, right = unwrap(event)
    assert isinstance(wrong, Malformed)
    assert right == FilePublished(EXE, "message-1")


def test_a_bottomless_envelope_is_malformed() -> None:
    event: Any = created(EXE)
    for _ in range(900):
        event = [event]
    (found,) = unwrap(event)
    assert isinstance(found, Malformed)


def test_only_events_of_a_queue_want_a_partial_answer() -> None:
    assert is_queue_event(in_sqs(created(EXE)))
    for event in (created(EXE), in_sns(created(EXE)), bridged(EXE), [], None, {"Records": None}):
        assert not is_queue_event(event)


FIELDS = "Records s3 object key Sns Message body messageId detail detail-type eventName Event"
FIELDS += " message attributes eventType objectId data specversion type subject name"

JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(FIELDS.split()), inner),
    max_leaves=20,
)


@given(JSONS)
def test_nothing_makes_it_raise(event: Any) -> None:
    assert all(isinstance(one, FilePublished | Ignored | Malformed) for one in unwrap(event))
    assert is_queue_event(event) in (True, False)
