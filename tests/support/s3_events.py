"""Events as AWS sends them, for tests and benchmarks."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus

Event = dict[str, Any]

TIME = "2017-08-08T17:06:52.030Z"
BUCKET = "net-mozaws-prod-delivery-firefox"


def created(*keys: str) -> Event:
    """The notification of S3 itself about files (raw keys) that have come."""
    return {"Records": [_record(key, "ObjectCreated:Put") for key in keys]}


def removed(*keys: str) -> Event:
    """The same of files that are gone."""
    return {"Records": [_record(key, "ObjectRemoved:Delete") for key in keys]}


def bridged(key: str) -> Event:
    """EventBridge's event about a file that has come."""
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2017-08-08T17:06:52Z",
        "region": "us-east-1",
        "resources": [f"arn:aws:s3:::{BUCKET}"],
        "detail": {
            "version": "0",
            "bucket": {"name": BUCKET},
            "object": {
                "key": key,
                "size": 5,
                "etag": "b1946ac92492d2347c6235b4d2611184",
                "sequencer": "617f08299329d189",
            },
            "request-id": "N4N7GDK58NMKJ12R",
            "reason": "PutObject",
        },
    }


def in_sns(*events: Any, bare: bool = False) -> Event:
    """Events as SNS hands them to a Lambda; ``bare`` the first as SNS puts it into a queue."""
    messages = [
        {
            "Type": "Notification",
            "MessageId": f"sns-{number}",
            "TopicArn": "arn:aws:sns:us-east-1:111122223333:archive",
            "Subject": "Amazon S3 Notification",
            "Message": json.dumps(event),
            "Timestamp": TIME,
        }
        for number, event in enumerate(events)
    ]
    if bare:
        return messages[0]
    return {"Records": [{"EventSource": "aws:sns", "Sns": message} for message in messages]}


def in_sqs(*bodies: Any) -> Event:
    """Messages of a queue, each with one event in it; their ids are ``message-0``, and so on."""
    return {
        "Records": [
            {
                "messageId": f"message-{number}",
                "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
                "body": body if isinstance(body, str) else json.dumps(body),
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:111122223333:archive",
                "awsRegion": "us-east-1",
            }
            for number, body in enumerate(bodies)
        ]
    }


def _record(key: str, kind: str) -> Event:
    return {
        "eventVersion": "2.0",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": TIME,
        "eventName": kind,
        "userIdentity": {"principalId": "AWS:AIDAJDPLRKLG7UEXAMPLE"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "buildhub",
            "bucket": {"name": BUCKET, "arn": f"arn:aws:s3:::{BUCKET}"},
            "object": {
                "key": quote_plus(key, safe="/"),
                "size": 5,
                "eTag": "b1946ac92492d2347c6235b4d2611184",
                "sequencer": "0055AED6DCD90281E5",
            },
        },
    }
