"""Hypothesis strategies for input that is nearly right: real bytes, cut, doubled and replaced."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

#: What breaks parsers: structure where none is expected, and text that is no text.
FRAGMENTS = [
    *(b'"', b'""', b'","', b"\n", b"\r\n", b",", b"/", b"//", b"..", b"%", b"%zz", b"%00", b"%FF"),
    *(
        b"+",
        b" ",
        b"\0",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        "é\u202e".encode(),
        b"[" * 2000,
        b"9" * 5000,
    ),
    *(
        b"1E99",
        b"1e400",
        b"-1",
        b"null",
        b"{",
        b"}",
        b"build99999999999",
        b"-candidates/",
        b"en-US",
    ),
]


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the ``seeds`` after up to four changes: a slice removed, doubled or replaced."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(start + draw(st.sampled_from([0, 0, 1, 2, 8, 50])), len(data))
        fragments = st.sampled_from([*FRAGMENTS, b"", data[start:end] * 2])
        data = data[:start] + draw(fragments | st.binary(max_size=6)) + data[end:]
    return data


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(), max_size=20)  # lone surrogates too: JSON can spell them
)


def like(example: Any) -> st.SearchStrategy[Any]:
    """JSON values in the shape of ``example``, any part of which may be missing or another."""
    if isinstance(example, dict):
        fields = {name: like(value) for name, value in example.items()}
        same: st.SearchStrategy[Any] = st.fixed_dictionaries({}, optional=fields)
    elif isinstance(example, list):
        same = st.lists(st.one_of([like(value) for value in example]), max_size=3)
    else:
        same = st.just(example)
    return same | same | same | _SCALARS | st.lists(_SCALARS, max_size=2)


def as_json(value: Any) -> bytes:
    """JSON as a server sends it: whatever Python can hold."""
    return json.dumps(value).encode()
