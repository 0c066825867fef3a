"""Gzip → the bytes in it, all up to where the data is cut or damaged.

A regular file is unpacked by a thread while the piece before is in use: isal releases the GIL. What
comes through a pipe is unpacked where it is read, piece by piece as it arrives.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import Any

from isal import isal_zlib

from ..errors import BadInput

#: How gzip begins.
MAGIC = b"\x1f\x8b"

#: Bytes of a piece: small ones stay in the processor's cache. The thread is at most four pieces
#: ahead, and reads as many packed bytes as eight have.
_PIECE = 1 << 19


def is_gzip_file(fd: int) -> bool:
    """Whether it is a regular file, not a pipe, and the next bytes are those of gzip."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return False
    return os.pread(fd, len(MAGIC), os.lseek(fd, 0, os.SEEK_CUR)) == MAGIC


def unpacked_file(fd: int, read: Callable[[], bytes], name: str) -> Iterator[bytes]:
    """The bytes of a regular file of gzip members, from where it is; ``read`` gives packed bytes.

    After damage the rest is unpacked once more, as the thread keeps back what it found before.
    Raises :class:`BadInput` then; ``name`` is for that message.
    """
    from isal import igzip_threaded  # imports much that a pipe does not need

    start = os.lseek(fd, 0, os.SEEK_CUR)
    given = 0
    try:
        with (
            open(fd, "rb", buffering=0, closefd=False) as packed,
            igzip_threaded.open(packed, block_size=_PIECE) as file,  # type: ignore[no-untyped-call]
        ):
            while piece := file.read1(_PIECE):
                given += len(piece)
                yield piece
    except (EOFError, isal_zlib.error, OSError):  # type: ignore[misc]
        os.lseek(fd, start, os.SEEK_SET)
        yield from _without_beginning(unpacked(read, name), given)


def _without_beginning(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The pieces without their first ``size`` bytes."""
    for piece in pieces:
        if rest := piece[size:]:
            yield rest
        size = max(0, size - len(piece))


def unpacked(read: Callable[[], bytes], name: str) -> Iterator[bytes]:
    """The bytes of all gzip members; ``read`` gives packed bytes, none at the end.

    Raises :class:`BadInput` where the data is cut or damaged; ``name`` is for that message.
    igzip's file object would keep back the piece in which it finds the damage.
    """
    unpacker = _member()
    packed = read()
    try:
        while packed:
            if data := unpacker.decompress(packed, _PIECE):
                yield data
            packed = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
            if unpacker.eof and (packed := packed.lstrip(b"\0") or read()):
                unpacker = _member()
            packed = packed or read()
    except isal_zlib.error as error:  # type: ignore[misc]
        raise BadInput(
            f"{name}: the gzip data is damaged ({error}); fetch the file again."
        ) from None
    if not unpacker.eof:
        raise BadInput(f"{name}: the gzip data ends in the middle; fetch the file again.")


def _member() -> Any:
    """What unpacks one member of a gzip file."""
    return isal_zlib.decompressobj(wbits=16 + isal_zlib.MAX_WBITS)
