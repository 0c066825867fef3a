"""Gzip from files and from pipes: the same bytes, all before damage, never much in memory."""

from __future__ import annotations

import gzip
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pytest

from buildhub.errors import BadInput
from buildhub.signals import CancellationToken
from buildhub.streams import chunks

MIB = 1 << 20
RANDOM = random.Random(3)
DATA = RANDOM.randbytes(1_600_000).hex("\n", 8).encode()
PACKED = gzip.compress(DATA, 1)


@contextmanager
def file_with(folder: Path, data: bytes) -> Iterator[str]:
    path = folder / "input.gz"
    path.write_bytes(data)
    yield str(path)


@contextmanager
def pipe_with(folder: Path, data: bytes) -> Iterator[str]:
    path = folder / "pipe"
    os.mkfifo(path)

    def write() -> None:
        with suppress(BrokenPipeError):  # nothing is read after damage
            path.write_bytes(data)

    writer = threading.Thread(target=write)
    writer.start()
    yield str(path)
    writer.join()


def chunks_of(file: IO[bytes]) -> Any:
    return chunks("input", CancellationToken(), opener=lambda _: os.dup(file.fileno()))


def read(path: str) -> tuple[bytes, str]:
    """Returns the chunks, and the error after them."""
    given = []
    try:
        for piece in chunks(path, CancellationToken()):
            given.append(piece)
    except BadInput as error:
        return b"".join(given), str(error).partition(": ")[2]
    return b"".join(given), ""


@pytest.mark.parametrize("given_as", [file_with, pipe_with], ids=["file", "pipe"])
@pytest.mark.parametrize(
    "packed",
    [
        PACKED,
        gzip.compress(DATA[: 3 * MIB], 1) + gzip.compress(b"") + gzip.compress(DATA[3 * MIB :], 1),
        PACKED + b"\0" * 1000,
    ],
    ids=["one member", "three members", "zeros at the end"],
)
def test_all_bytes_come_in_their_order(tmp_path, given_as, packed):
    with given_as(tmp_path, packed) as path:
        assert read(path) == (DATA, "")


@pytest.mark.parametrize("given_as", [file_with, pipe_with], ids=["file", "pipe"])
@pytest.mark.parametrize("cut", [1, 100, len(PACKED) // 3, len(PACKED) - 20])
def test_all_that_came_before_the_end_of_a_cut_file_is_given_once(tmp_path, given_as, cut):
    with given_as(tmp_path, PACKED[:-cut]) as path:
        given, error = read(path)
    assert DATA.startswith(given)
    assert len(given) > len(DATA) * (len(PACKED) - cut) / len(PACKED) - MIB / 8
    assert error == "the gzip data ends in the middle; fetch the file again."


@pytest.mark.parametrize("given_as", [file_with, pipe_with], ids=["file", "pipe"])
def test_pieces_before_damage_are_given_and_the_damage_is_reported(tmp_path, given_as):
    second = bytearray(PACKED)
    second[:3] = b"xxx"
    with given_as(tmp_path, PACKED + second) as path:
        given, error = read(path)
    assert given == DATA
    assert error.startswith("the gzip data is damaged (")


def test_a_file_is_read_from_where_it_is(tmp_path):
    with file_with(tmp_path, b"header" + PACKED) as path, open(path, "rb", buffering=0) as file:
        file.seek(len(b"header"))
        assert b"".join(chunks_of(file)) == DATA


def test_a_reader_that_is_slow_holds_up_the_thread(tmp_path):
    """Whatever the size of the file, only a few pieces wait to be used."""
    size = 40 * MIB
    packed = gzip.compress(RANDOM.randbytes(size), 0)
    with file_with(tmp_path, packed) as path, open(path, "rb", buffering=0) as file:
        with closing(chunks_of(file)) as pieces:
            next(pieces)
            before, position = -1, 0
            while position != before:
                time.sleep(0.2)
                before, position = position, file.tell()
            assert 0 < position < 10 * MIB


def test_a_closed_iterator_leaves_no_thread_behind(tmp_path):
    threads = threading.active_count()
    with file_with(tmp_path, PACKED) as path:
        pieces = chunks(path, CancellationToken())
        next(pieces)
        pieces.close()
    assert threading.active_count() == threads
