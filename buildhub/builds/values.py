"""Reads the values of a record's fields as people type them.

Each function takes a text and returns the values that are meant, mostly one. What cannot be a
value of the field is a ``ValueError`` with the end of a sentence that says what could.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote_plus

from .explain import reason_against
from .patterns import PLATFORM
from .products import PRODUCTS, products_in
from .recognise import recognise

Values = tuple[str, ...]

#: Digits of a revision that are enough to find it.
MIN_REVISION = 7

CHANNELS = ("release", "beta", "aurora", "esr", "nightly")
_CHANNEL_WORDS = {"daily": "nightly", "stable": "release", "developer": "aurora"}

_PRODUCT_WORDS = {
    "dev edition": ("devedition",),
    "developer edition": ("devedition",),
    "firefox developer edition": ("devedition",),
    "firefox focus": ("focus",),
    "firefox for android": ("fennec", "fenix"),
}

_SYSTEM_WORDS = {
    **dict.fromkeys(("win", "windows"), "win"),
    **dict.fromkeys(("mac", "macos", "macosx", "osx", "os x", "mac os"), "mac"),
    **{name: name for name in ("linux", "android", "maemo")},
}

# The processor as the words of a platform have it; what is fused (win64) comes apart.
_PROCESSORS = (
    (r"\b(?:arm64(?: v8a)?|aarch64)", " arm "),
    (r"\b(?:x86[_ ]64|x64|amd64)", " 64 "),
    (r"\b(?:x86|i[36]86)", " 32 "),
    (r"(32|64)(?:[ -]?bits?)?", r" \1 "),
)
_PLATFORM_WORDS = {
    "win 32": ("win32",),
    "win 64": ("win64",),
    "arm win": ("win64-aarch64",),
    "linux 32": ("linux-i686",),
    "linux 64": ("linux-x86_64",),
    "arm linux": ("linux-aarch64",),
    "mac": ("macosx",),
    "mac 64": ("macosx",),
    "arm mac": ("macosx",),
    "android arm": ("android-aarch64", "android-arm64-v8a"),
    "arm": ("linux-aarch64", "win64-aarch64", "android-aarch64", "android-arm64-v8a"),
}
_PLATFORM = re.compile(PLATFORM, re.VERBOSE | re.ASCII | re.IGNORECASE)

_BUILD_ID = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)[T _-]?(\d\d)[:-]?(\d\d)[:-]?(\d\d)(Z|[+-]\d\d:?\d\d)?", re.I | re.A
)
_OLD_BUILD_IDS = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M"}


def product(text: str) -> Values:
    """Reads a product: ``Firefox``, ``dev edition``, or its folder: ``mobile``."""
    name = _words(text)
    if name in PRODUCTS:
        return (name,)
    if name in _PRODUCT_WORDS:
        return _PRODUCT_WORDS[name]
    if found := products_in(name):
        return tuple(product.name for product in found)
    raise _impossible(text, "a product", PRODUCTS)


def channel(text: str) -> Values:
    """Reads a channel: ``Beta``, ``stable``, ``nightly-old-id``."""
    name = text.strip().lower()
    name = _CHANNEL_WORDS.get(name, name)
    if name.removesuffix("-old-id") in CHANNELS:
        return (name,)
    raise _impossible(text, "a channel", CHANNELS)


def system(text: str) -> Values:
    """Reads an operating system: ``Windows``, ``macOS``."""
    if found := _SYSTEM_WORDS.get(_words(text)):
        return (found,)
    raise _impossible(text, "a system", dict.fromkeys(_SYSTEM_WORDS.values()))


def platform(text: str) -> Values:
    """Reads a platform: ``WIN64``, ``mac64``, ``windows arm64``, ``linux 32``."""
    name = text.strip().lower()
    if _PLATFORM.fullmatch(name) and name != "linux":
        return (re.sub(r"^mac(?!osx)", "macosx", name),)
    words = _words(name)
    for pattern, word in _PROCESSORS:
        words = re.sub(rf"{pattern}(?![a-z\d])", word, words)
    found = (_SYSTEM_WORDS.get(word, word) for word in words.split())
    known = " ".join(sorted(found, reverse=True, key=str.isalpha))
    for key, values in _PLATFORM_WORDS.items():
        if sorted(key.split()) == sorted(known.split()):
            return values
    if known in _SYSTEM_WORDS.values():
        raise ValueError(f"{text!r} is not a platform, but a system: use --os {known}")
    usual = dict.fromkeys(one for values in _PLATFORM_WORDS.values() for one in values)
    raise _impossible(text, "a platform", usual)


def locale(text: str) -> Values:
    """Reads a locale in any letter case: as typed, and as the archive usually spells it."""
    code = text.strip().replace("_", "-")
    if not re.fullmatch(r"(?i:multi|[a-z]{2,3}(?:-[a-z]{2,8}){0,2})", code):
        raise ValueError(f"{text!r} is not a locale: use a code such as en-US, fr, pt-BR or multi")
    first, *others = code.lower().split("-")
    usual = "-".join([first, *(one.upper() if len(one) == 2 else one for one in others)])
    return tuple(dict.fromkeys((usual, code)))


def version(text: str) -> Values:
    """Reads a version or a pattern: ``v55.0``, ``55b3``, ``55.*``, ``55`` (all 55.*), ``esr52``."""
    name = re.sub(r"^v(?=\d)", "", re.sub(r"[\s-]+(?=rc\d)", "", text.strip().lower()))
    if not re.fullmatch(r"[\d*?\[][\w.*?\[\]!-]*", name, re.ASCII):
        found = re.fullmatch(r"esr\s?(\d+)", name)
        if not found:
            raise ValueError(f"{text!r} is not a version: use one such as 55.0, 55.0b3 or '55.*'")
        name = f"{found[1]}esr"
    name = re.sub(r"^(\d+)esr$", r"\1.*esr*", name)
    name = re.sub(r"^(\d+)$", r"\1.*", name)
    return (re.sub(r"^(\d+)(?=b\d)", r"\1.0", name),)


def build_id(text: str) -> Values:
    """Reads a build id: 14 digits, with dashes, or as a time; of old builds 8, 10 or 12 digits."""
    name = text.strip()
    try:
        if name.isascii() and name.isdigit() and len(name) in _OLD_BUILD_IDS:
            datetime.strptime(name, _OLD_BUILD_IDS[len(name)])
            return (name,)
        if found := _BUILD_ID.fullmatch(name):
            *parts, offset = found.groups()
            zone = (offset or "Z").upper().replace("Z", "+0000").replace(":", "")
            moment = datetime.strptime("".join(parts) + zone, "%Y%m%d%H%M%S%z")
            return (f"{moment.astimezone(UTC):%Y%m%d%H%M%S}",)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{text!r} is not a build id: {_instead_of_build_id(name)}")


def _instead_of_build_id(text: str) -> str:
    digits = re.sub(r"\D", "", text)
    advice = "a build id is the time of the build in 14 digits, such as 20170509094500"
    if len(digits) != 14 and digits:
        advice = f"it has {len(digits)} digits, and {advice}"
    try:
        day = datetime.strptime(digits[:8] if len(digits) != 14 else "", "%Y%m%d")
        until = day + timedelta(days=1)
    except (ValueError, OverflowError):
        return advice
    return f"{advice}; for that day use --built-since {day:%Y-%m-%d} --built-until {until:%Y-%m-%d}"


def revision(text: str) -> Values:
    """Reads a revision, or how it begins; also the URL of its page."""
    name = text.strip().rstrip("/").rpartition("/rev/")[2].lower()
    if re.fullmatch(rf"[0-9a-f]{{{MIN_REVISION},40}}", name):
        return (name,)
    raise ValueError(
        f"{text!r} is not a revision: give its first {MIN_REVISION} to 40 hexadecimal digits"
    )


def tree(text: str) -> Values:
    """Reads a tree: ``mozilla-central``, or the URL of the repository."""
    return (text.strip().rstrip("/").rpartition("hg.mozilla.org/")[2],)


def record_id(text: str) -> Values:
    """Reads the id of a record; also the key or the URL of its file."""
    if "/" not in text:
        return (text.strip().lower(),)
    key = key_of(text)
    if build := recognise(key):
        return (build.id,)
    raise ValueError(f"{text!r} is not a build: {reason_against(key)}")


def key_of(text: str) -> str:
    """Returns the key that a URL, a bucket's URL or an encoded key means.

    ``https://ftp.mozilla.org/pub/mozilla.org/firefox/…``, ``gs://bucket/pub/…``,
    ``/pub/firefox/…/Firefox%20Setup%2055.0.exe`` and a raw key, which stays as it is.
    """
    text = text.strip()
    scheme, _, rest = text.rpartition("://")
    key = rest.partition("/")[2] if scheme else text.lstrip("/")
    if scheme.startswith("http"):
        key = re.split(r"[?#]", key)[0]
    key = re.sub(r"^(?:pub/mozilla\.org/|pub/|(?=(?:firefox|thunderbird|mobile|devedition)/))",
                 "pub/", key)  # fmt: skip
    if recognise(key) is None and re.search(r"\+|%[0-9a-fA-F]{2}", key):
        return unquote_plus(key)
    return key


def _words(text: str) -> str:
    return " ".join(re.split(r"[\s-]+", text.strip().lower()))


def _impossible(text: str, what: str, known: Iterable[str]) -> ValueError:
    known = list(known)
    close = difflib.get_close_matches(text.strip().lower(), known, n=1)
    advice = f"perhaps {close[0]} is meant" if close else f"use one of {', '.join(known)}"
    return ValueError(f"{text!r} is not {what}: {advice}")
