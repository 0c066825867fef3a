"""Notifications of Google's bucket in the forms in which they arrive."""

from __future__ import annotations

import base64
import json
from typing import Any

Event = dict[str, Any]

TIME = "2026-07-01T09:57:52.030Z"
BUCKET = "moz-fx-productdelivery-pr-38b5-productdelivery"
GENERATION = "1782899872030000"


def resource(key: str) -> Event:
    """The description of an object, as the JSON API gives it."""
    return {
        "kind": "storage#object",
        "id": f"{BUCKET}/{key}/{GENERATION}",
        "name": key,
        "bucket": BUCKET,
        "generation": GENERATION,
        "metageneration": "1",
        "contentType": "application/octet-stream",
        "timeCreated": TIME,
        "updated": TIME,
        "size": "5",
        "md5Hash": "sZRqySSS0jR8YjW00mERhA==",
    }


def pulled(key: str, kind: str = "OBJECT_FINALIZE", *, payload: bool = True) -> Event:
    """A Pub/Sub message, as a client library prints it; without payload for payloadFormat NONE."""
    message: Event = {
        "attributes": {
            "bucketId": BUCKET,
            "eventTime": TIME,
            "eventType": kind,
            "notificationConfig": f"projects/_/buckets/{BUCKET}/notificationConfigs/1",
            "objectGeneration": GENERATION,
            "objectId": key,
            "payloadFormat": "JSON_API_V1" if payload else "NONE",
        },
        "messageId": "11820000000000001",
        "publishTime": TIME,
    }
    if payload:
        message["data"] = base64.b64encode(json.dumps(resource(key)).encode()).decode()
    return message


def pushed(key: str, kind: str = "OBJECT_FINALIZE", *, payload: bool = True) -> Event:
    """The body of a push request of Pub/Sub."""
    return {
        "message": pulled(key, kind, payload=payload),
        "subscription": "projects/mirror/subscriptions/buildhub",
    }


def printed(*messages: Event) -> list[Event]:
    """Pulled messages as ``gcloud pubsub subscriptions pull --format=json`` prints them."""
    return [
        {
            "ackId": f"QV5AEkwmEURJUytDCypYEU4EISE{number}",
            "ackStatus": "SUCCESS",
            "message": message,
        }
        for number, message in enumerate(messages)
    ]


def cloud_event(key: str, kind: str = "finalized") -> Event:
    """A structured CloudEvent of Eventarc about an object."""
    return {
        "specversion": "1.0",
        "id": "11820000000000001",
        "source": f"//storage.googleapis.com/projects/_/buckets/{BUCKET}",
        "type": f"google.cloud.storage.object.v1.{kind}",
        "datacontenttype": "application/json",
        "subject": f"objects/{key}",
        "time": TIME,
        "data": resource(key),
    }


def cloud_event_of_message(key: str, kind: str = "OBJECT_FINALIZE") -> Event:
    """A structured CloudEvent of Eventarc around a Pub/Sub message."""
    return {
        "specversion": "1.0",
        "id": "11820000000000001",
        "source": "//pubsub.googleapis.com/projects/mirror/topics/archive",
        "type": "google.cloud.pubsub.topic.v1.messagePublished",
        "time": TIME,
        "data": pushed(key, kind),
    }
