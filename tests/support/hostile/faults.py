"""Faults that any HTTP server may show, those of the archive, and those of S3."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial

from .proxy import Behaviour, Exchange, Fault, Response

LOGIN_PAGE = Response(
    200,
    [("Content-Type", "text/html; charset=utf-8")],
    b"<!DOCTYPE html><html><title>Sign in</title><form action='/login'></form></html>",
)

#: Seconds that servers ask for in Retry-After and Backoff.
SMALL_WAIT = 1

#: Seconds for which a server that restarts takes no connections.
RESTART = 0.6


#: S3 when it is busy.
SLOW_DOWN = Response(
    503,
    [("Content-Type", "application/xml")],
    b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>",
)


def changed(change: Callable[[Response], Response]) -> Behaviour:
    """Another response in place of the server's."""

    def behaviour(exchange: Exchange) -> bool:
        exchange.send(change(exchange.forward()))
        return True

    return behaviour


def cut_at(size: int) -> Behaviour:
    """The connection breaks after ``size`` bytes of the body."""

    def behaviour(exchange: Exchange) -> bool:
        response = exchange.forward()
        exchange.client.sendall(exchange.head(response) + response.body[:size])
        return False

    return behaviour


def slow_down(exchange: Exchange) -> bool:
    exchange.send(SLOW_DOWN)
    return True


def damaged(exchange: Exchange) -> bool:
    """One byte in the middle is another."""
    response = exchange.forward()
    body = bytearray(response.body)
    body[len(body) // 2] ^= 1
    exchange.send(response._replace(body=bytes(body)))
    return True


def held_halfway(exchange: Exchange) -> bool:
    """Hold this response back after half of its body, and all others, until ``flowing`` is set."""
    response = exchange.forward()
    exchange.proxy.held_after = len(response.body) // 2
    exchange.proxy.flowing.clear()
    return exchange.pass_on(response)


def reset_before(exchange: Exchange) -> bool:
    """The request is not even looked at."""
    return exchange.reset()


def reset_in_body(exchange: Exchange) -> bool:
    response = exchange.forward()
    exchange.client.sendall(exchange.head(response) + response.body[: len(response.body) // 2])
    return exchange.reset()


def refuse(exchange: Exchange) -> bool:
    """This connection ends, and for a while no other is accepted."""
    exchange.proxy.out_of_service(RESTART)
    return exchange.reset()


def stall(exchange: Exchange) -> bool:
    exchange.silence()
    return False


def stall_in_body(exchange: Exchange) -> bool:
    response = exchange.forward()
    exchange.client.sendall(exchange.head(response) + response.body[: len(response.body) // 2])
    exchange.silence()
    return False


def trickle(exchange: Exchange) -> bool:
    """A byte every 300 ms: no single read takes long, the response takes for ever."""
    response = exchange.forward()
    content = exchange.head(response) + response.body
    for position in range(len(content)):
        exchange.client.sendall(content[position : position + 1])
        exchange.silence(0.3)
    return False


def cut(exchange: Exchange) -> bool:
    """Half of the body, less than the Content-Length says."""
    response = exchange.forward()
    exchange.client.sendall(exchange.head(response) + response.body[: len(response.body) // 2])
    return False


def cut_with_honest_length(exchange: Exchange) -> bool:
    """Half of the body, and a Content-Length that agrees with it."""
    response = exchange.forward()
    exchange.send(response._replace(body=response.body[: len(response.body) // 2]))
    return True


def empty(exchange: Exchange) -> bool:
    exchange.send(exchange.forward()._replace(status=200, body=b""))
    return True


def login_page(exchange: Exchange) -> bool:
    exchange.send(LOGIN_PAGE)
    return True


def wrong_type(exchange: Exchange) -> bool:
    """An error page under the name of another type."""
    page = LOGIN_PAGE.with_header("Content-Type", "image/png")
    exchange.send(page._replace(body=b"\x89PNG\r\n\x1a\n"))
    return True


def twice(exchange: Exchange) -> bool:
    """One response too many: clients must not take it for that to their next request."""
    exchange.send(exchange.forward(), times=2)
    return True


def status(number: int, retry_after: str = "") -> Behaviour:
    """An error page; ``retry_after`` is "seconds" or "date"."""

    def behaviour(exchange: Exchange) -> bool:
        headers = [("Content-Type", "text/html")]
        if retry_after == "seconds":
            headers.append(("Retry-After", str(SMALL_WAIT)))
        elif retry_after == "date":
            moment = datetime.now(UTC) + timedelta(seconds=SMALL_WAIT)
            headers.append(("Retry-After", format_datetime(moment, usegmt=True)))
        exchange.send(Response(number, headers, b"<h1>Something went wrong</h1>"))
        return True

    return behaviour


def redirect_in_a_loop(exchange: Exchange) -> bool:
    exchange.send(Response(302, [("Location", exchange.path)], b""))
    return True


def redirect_to(elsewhere: str) -> Behaviour:
    """A redirect to another server, which answers with what looks right and isn't."""

    def behaviour(exchange: Exchange) -> bool:
        exchange.send(Response(307, [("Location", elsewhere + exchange.path)], b""))
        return True

    return behaviour


def _is_get(exchange: Exchange) -> bool:
    return exchange.method == "GET"


def _has_body(exchange: Exchange) -> bool:
    return exchange.method != "HEAD"


def http_faults(elsewhere: str) -> list[Fault]:
    """Returns the faults of any server; nobody may be sent to the URL ``elsewhere``."""
    return [
        Fault("connection refused", refuse),
        Fault("reset before the response", reset_before),
        Fault("reset in the body", reset_in_body, _has_body),
        Fault("no response", stall),
        Fault("stalled in the body", stall_in_body, _has_body),
        Fault("trickle", trickle),
        Fault("429, Retry-After in seconds", status(429, "seconds")),
        Fault("503, Retry-After in seconds", status(503, "seconds")),
        Fault("503, Retry-After as a date", status(503, "date")),
        Fault("500", status(500)),
        Fault("502", status(502)),
        Fault("cut", cut, _has_body),
        Fault("cut, honest length", cut_with_honest_length, _has_body),
        Fault("empty body", empty, _has_body),
        Fault("login page", login_page, _has_body),
        Fault("wrong content type", wrong_type, _has_body),
        Fault("redirect elsewhere", redirect_to(elsewhere)),
        Fault("redirect in a loop", redirect_in_a_loop),
        Fault("response sent twice", twice, _has_body),
    ]


# The archive's listings


def _is_listing(exchange: Exchange) -> bool:
    return _is_get(exchange) and exchange.path.endswith("/")


def _altered_listing(alter: Callable[[Exchange, dict[str, list[object]]], object]) -> Behaviour:
    def behaviour(exchange: Exchange) -> bool:
        response = exchange.forward()
        if response.status == 200:
            altered = alter(exchange, json.loads(response.body))
            response = response._replace(body=json.dumps(altered).encode())
        exchange.send(response)
        return True

    return behaviour


def _half(exchange: Exchange, listing: dict[str, list[object]]) -> object:
    """Each entry is there or not: valid JSON that nobody can tell from the truth."""
    return {
        name: [entry for entry in entries if exchange.random.random() < 0.5]
        if isinstance(entries, list)
        else entries
        for name, entries in listing.items()
    }


def _garbage(exchange: Exchange, listing: dict[str, list[object]]) -> object:
    odd: list[object] = [
        None,
        [],
        {"message": "Internal error"},
        {"prefixes": None, "files": None},
        {"prefixes": [7], "files": [{"size": 1}, None, "x"]},
        {**listing, "files": [{**entry, "name": None} for entry in listing["files"]]},  # type: ignore[dict-item]
    ]
    return exchange.random.choice(odd)


_BUILD_FOLDER = re.compile(r"(.*-candidates/build)(\d+)/")


def _is_build_folder(exchange: Exchange) -> bool:
    return _is_get(exchange) and _BUILD_FOLDER.fullmatch(exchange.path) is not None


def every_build_folder(exchange: Exchange) -> bool:
    """This build folder exists, and so does each one that is requested for it."""
    match = _BUILD_FOLDER.fullmatch(exchange.path)
    if not match:  # a request for something in the folder that was to come next
        return exchange.pass_on()
    exchange.proxy.fault(f"{match[1]}{int(match[2]) + 1}/", every_build_folder)
    response = exchange.forward()
    if response.status != 200:
        listing = {"prefixes": ["win32/"], "files": []}
        headers = [("Content-Type", "application/json")]
        response = Response(200, headers, json.dumps(listing).encode())
    exchange.send(response)
    return True


def archive_faults(elsewhere: str) -> list[Fault]:
    """The faults of the archive."""
    return [
        *http_faults(elsewhere),
        Fault("half a listing", _altered_listing(_half), _is_listing, special=True, credible=True),
        Fault("every build folder", every_build_folder, _is_build_folder, special=True),
        Fault("garbage for a listing", _altered_listing(_garbage), _is_listing, special=True),
    ]


# S3


def _is_s3_listing(exchange: Exchange) -> bool:
    return _is_get(exchange) and "list-type=2" in exchange.path


def _half_s3_listing(exchange: Exchange) -> bool:
    """Each entry is there or not."""
    response = exchange.forward()

    def keep(match: re.Match[bytes]) -> bytes:
        return match[0] if exchange.random.random() < 0.5 else b""

    entry = rb"<(CommonPrefixes|Contents)>.*?</\1>"
    exchange.send(response._replace(body=re.sub(entry, keep, response.body, flags=re.DOTALL)))
    return True


#: Empty pages that follow each other.
ENDLESS = 30


def _is_first_s3_page(exchange: Exchange) -> bool:
    return _is_s3_listing(exchange) and "continuation-token=" not in exchange.path


def endless_pages(parameter: str, content_type: str, empty_page: str) -> Behaviour:
    """Empty pages, each with another token in place of ``TOKEN``; at last what was asked for."""

    def begin(exchange: Exchange) -> bool:
        first, name = exchange.path, f"endless-{exchange.random.randrange(1 << 32)}"

        def behaviour(exchange: Exchange, number: int = 1) -> bool:
            if number > ENDLESS:
                exchange.path = first
                return exchange.pass_on()
            token = f"{name}-{number}-"
            exchange.proxy.fault(f"{parameter}={token}", partial(behaviour, number=number + 1))
            body = empty_page.replace("TOKEN", token).encode()
            exchange.send(Response(200, [("Content-Type", content_type)], body))
            return True

        return behaviour(exchange)

    return begin


ENDLESS_IN_S3 = endless_pages(
    "continuation-token",
    "application/xml",
    "<ListBucketResult><IsTruncated>true</IsTruncated><KeyCount>0</KeyCount>"
    "<NextContinuationToken>TOKEN</NextContinuationToken></ListBucketResult>",
)


def s3_faults(elsewhere: str) -> list[Fault]:
    """The faults of S3."""
    return [
        *http_faults(elsewhere),
        Fault("half a listing", _half_s3_listing, _is_s3_listing, special=True, credible=True),
        Fault("endless pages", ENDLESS_IN_S3, _is_first_s3_page, special=True),
        Fault("SlowDown", slow_down),
    ]


# The archive's own bucket in Google Cloud Storage

_ENDLESS_IN_GCS = endless_pages("pageToken", "application/json", '{"nextPageToken": "TOKEN"}')


def _is_first_page(exchange: Exchange) -> bool:
    return "pageToken=" not in exchange.path


def _garbage_page(exchange: Exchange, page: dict[str, list[object]]) -> object:
    odd = [None, [], {"items": None}, {"prefixes": [7]}, {**page, "items": [{"name": ""}]}]
    return exchange.random.choice(odd)


def gcs_faults(elsewhere: str) -> list[Fault]:
    """The faults of the bucket, which is only listed."""
    return [
        *http_faults(elsewhere),
        Fault("half a listing", _altered_listing(_half), special=True, credible=True),
        Fault("garbage for a listing", _altered_listing(_garbage_page), special=True),
        Fault("endless pages", _ENDLESS_IN_GCS, _is_first_page, special=True),
    ]
