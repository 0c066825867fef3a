"""The ends of a pipe: input that a signal can interrupt, gzip or not; output that may go away.

A blocking read in Python goes on after a signal (PEP 475), so a handler that only sets a flag
would be noticed when the next byte arrives, which may be never. Input therefore waits for the
file *and* for the signal.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from isal import isal_zlib

from . import MAX_LINE
from .errors import BadInput, Fatal
from .signals import CancellationToken

#: Bytes asked for at once: the largest pipe that Linux gives to a user.
CHUNK = 1 << 20

#: Seconds without input after which ``on_idle`` is called.
IDLE_SECONDS = 1

#: The first bytes of gzip.
_GZIP_MAGIC = b"\x1f\x8b"

#: Bytes of a piece that is unpacked: small ones stay in the processor's cache.
_PIECE = 1 << 19

#: Ends what is given out of a line that is longer: not UTF-8, so neither a row nor JSON.
_CUT = b"\xff (cut)"

#: Larger than any piece and block.
_REUSED = 8 << 20


class _Source:
    """Reads from a file descriptor what is there, until a signal comes."""

    def __init__(
        self, fd: int, cancellation: CancellationToken, on_idle: Callable[[], None] | None
    ) -> None:
        self._fd = fd
        self._cancellation = cancellation
        self._on_idle = on_idle
        self._ahead = b""

    def read(self) -> bytes:
        """Returns what is there, at most ``CHUNK`` bytes; nothing at the end."""
        if self._ahead:
            data, self._ahead = self._ahead, b""
            return data
        self._wait()
        return os.read(self._fd, CHUNK)

    def starts_with_gzip_magic(self) -> bool:
        """Looks at the first two bytes without consuming them."""
        while len(self._ahead) < len(_GZIP_MAGIC):
            self._wait()
            if not (data := os.read(self._fd, len(_GZIP_MAGIC))):
                break
            self._ahead += data
        return self._ahead.startswith(_GZIP_MAGIC)

    def _wait(self) -> None:
        self._cancellation.raise_if_cancelled()
        timeout = IDLE_SECONDS if self._on_idle else None
        while True:
            ready, _, _ = select.select([self._fd, self._cancellation.fileno()], [], [], timeout)
            self._cancellation.raise_if_cancelled()
            if self._fd in ready:
                return
            if self._on_idle:
                self._on_idle()
            timeout = None  # once is enough until something arrives


def name_of(path: str) -> str:
    """Returns the name of an input in messages: its path, or ``standard input`` for ``-``."""
    return "standard input" if path == "-" else path


def open_file(path: str) -> int:
    """Opens a file to read from. Raises ``OSError``."""
    return os.open(path, os.O_RDONLY)


def chunks(
    path: str,
    cancellation: CancellationToken,
    *,
    opener: Callable[[str], int] = open_file,
    on_idle: Callable[[], None] | None = None,
) -> Iterator[bytes]:
    """Yields the bytes of a file, or of standard input for ``-``, unpacked if they are gzip.

    Pieces come as they arrive, at most about a megabyte each. ``opener`` returns a descriptor of
    the file, which is closed at the end. ``on_idle`` is called when nothing arrived for a second.
    Several gzip members are read as one file. Raises :class:`Interrupted` on a signal, and
    :class:`BadInput` if the file can't be read, or is cut or damaged: all before it was given out.
    """
    _reuse_memory()
    with contextlib.ExitStack() as stack:
        try:
            fd = sys.stdin.fileno() if path == "-" else opener(path)
            if path != "-":
                stack.callback(os.close, fd)
            for piece in _pieces_of(fd, _Source(fd, cancellation, on_idle), path):
                cancellation.raise_if_cancelled()
                yield piece
        except OSError as error:
            raise BadInput(f"Cannot read {name_of(path)}: {error.strerror}.") from None


def _reuse_memory() -> None:
    """Lets each piece have the memory of one before, instead of new memory of the system.

    glibc gives memory back to the system at once where it was for more than the largest that has
    been freed so far; see M_MMAP_THRESHOLD in mallopt(3). To be given new memory for each piece
    takes a fifth of the time of a run. What is allocated here is never written to, so it takes
    none.
    """
    bytes(_REUSED)


def _pieces_of(fd: int, source: _Source, path: str) -> Iterator[bytes]:
    if _is_gzip_file(fd):
        return _unpacked_file(fd, source.read, name_of(path))
    _widen_pipe(fd)
    if source.starts_with_gzip_magic():
        return _unpacked(source.read, name_of(path))
    return iter(source.read, b"")


def _widen_pipe(fd: int) -> None:
    """Enlarges a pipe, for fewer reads; what may not be enlarged stays as it is."""
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, CHUNK)


def _is_gzip_file(fd: int) -> bool:
    """Returns whether it is a regular file, not a pipe, and goes on with a gzip member."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return False
    return os.pread(fd, len(_GZIP_MAGIC), os.lseek(fd, 0, os.SEEK_CUR)) == _GZIP_MAGIC


def _unpacked_file(fd: int, read: Callable[[], bytes], name: str) -> Iterator[bytes]:
    """Unpacks the rest of a regular file, in a thread while the piece before is in use.

    isal releases the GIL; the thread is at most four pieces ahead. After damage the rest is
    unpacked once more by ``read``, as the thread keeps back what it found before. Raises
    :class:`BadInput` then; ``name`` is for that message.
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
        for piece in _unpacked(read, name):
            if rest := piece[given:]:
                yield rest
            given = max(0, given - len(piece))


def _unpacked(read: Callable[[], bytes], name: str) -> Iterator[bytes]:
    """Unpacks all gzip members; ``read`` returns packed bytes, none at the end.

    Raises :class:`BadInput` where the data is cut or damaged; ``name`` is for that message.
    igzip's file object would keep back the piece in which it finds the damage.
    """

    def member() -> Any:
        return isal_zlib.decompressobj(wbits=16 + isal_zlib.MAX_WBITS)

    unpacker = member()
    packed = read()
    try:
        while packed:
            if data := unpacker.decompress(packed, _PIECE):
                yield data
            packed = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
            if unpacker.eof and (packed := packed.lstrip(b"\0") or read()):
                unpacker = member()
            packed = packed or read()
    except isal_zlib.error as error:  # type: ignore[misc]
        raise BadInput(
            f"{name}: the gzip data is damaged ({error}); fetch the file again."
        ) from None
    if not unpacker.eof:
        raise BadInput(f"{name}: the gzip data ends in the middle; fetch the file again.")


def blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Cuts the bytes anew, at ends of lines: each block is whole lines.

    Only the last may lack its newline. A line that is longer than a piece is put together. Of a
    line longer than ``MAX_LINE`` only the beginning is given out, for which :func:`is_cut` is
    true: the reader of the lines reports it as bad.
    """
    rest: list[bytes] = []
    size = 0
    for piece in pieces:
        first = piece.find(b"\n") + 1
        if rest and size + (first - 1 if first else len(piece)) > MAX_LINE:
            rest, size = [_beginning(rest)], MAX_LINE
            if not first:
                continue
            piece = piece[first - 1 :]
        end = piece.rfind(b"\n") + 1
        if not end:
            rest.append(piece)
            size += len(piece)
            continue
        yield b"".join((*rest, memoryview(piece)[:end]))
        rest = [piece[end:]] if end < len(piece) else []
        size = len(piece) - end
    if rest:
        yield b"".join(rest)


def is_cut(line: bytes) -> bool:
    """Returns whether :func:`blocks` gave out only the beginning of a line that is too long."""
    return line.rstrip(b"\r\n").endswith(_CUT)


def _beginning(line: Sequence[bytes]) -> bytes:
    beginning = line[0]
    return beginning if beginning.endswith(_CUT) else beginning[:1000] + _CUT


def _pieces(lines: bytes, size: int) -> Iterator[bytes]:
    """Cuts lines into pieces of at most ``size`` bytes, but at least a line each."""
    start = 0
    while start < len(lines):
        end = lines.rfind(b"\n", start, start + size) + 1 or lines.find(b"\n", start) + 1
        yield lines[start : end or len(lines)]
        start = end or len(lines)


def write(
    data: bytes,
    cancellation: CancellationToken | None = None,
    written: Callable[[bytes], None] = lambda piece: None,
) -> None:
    """Writes whole lines to standard output, and through to the reader: nothing is held back.

    ``written`` is called with each piece, whole lines as well, once it has been written. Raises
    BrokenPipeError when the reader has gone, :class:`Fatal` if the output can't be written (a full
    disk), and :class:`Interrupted` if nobody reads in the time that a stop leaves; the output then
    ends with a line, unless that is very long.
    """
    try:
        write_to(sys.stdout.fileno(), data, cancellation, written)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise output_error(error) from None


def write_to(
    fd: int,
    data: bytes,
    cancellation: CancellationToken | None = None,
    written: Callable[[bytes], None] = lambda piece: None,
) -> None:
    """Writes whole lines to a descriptor, as :func:`write` does. Raises ``OSError``."""
    mode = os.fstat(fd).st_mode
    may_be_full = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
    if cancellation is None or not may_be_full:
        view: Any = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        written(data)
        return
    for lines in _pieces(data, select.PIPE_BUF):
        for start in range(0, len(lines), select.PIPE_BUF):
            _wait_until_writable(fd, cancellation)
            os.write(fd, lines[start : start + select.PIPE_BUF])
        written(lines)


def output_error(error: OSError) -> Fatal:
    """Makes a sentence of an error of writing to standard output."""
    reason = "it is closed" if error.errno == errno.EBADF else error.strerror
    return Fatal(
        f"Cannot write standard output ({reason}): write to a file or pipe that takes the output."
    )


def _wait_until_writable(fd: int, cancellation: CancellationToken) -> None:
    """Waits: a pipe that is writable takes ``PIPE_BUF`` bytes without blocking."""
    while not select.select([], [fd], [], 0)[1]:
        cancellation.raise_if_overdue()
        remaining = cancellation.remaining()
        stop = [cancellation.fileno()] if remaining is None else []
        select.select(stop, [fd], [], remaining)
