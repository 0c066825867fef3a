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

from .. import MAX_LINE
from ..errors import BadInput, Fatal
from ..signals import CancellationToken
from . import gzip_input

#: Bytes asked for at once: the largest pipe that Linux gives to a user.
CHUNK = 1 << 20

#: Ends what is given out of a line that is longer: not UTF-8, so neither a row nor JSON.
_CUT = b"\xff (cut)"

#: Larger than any piece and block.
_REUSED = 8 << 20

_F_SETPIPE_SZ = 1031  # fcntl.F_SETPIPE_SZ exists on Linux only


class _Source:
    """A file descriptor whose reads return what is there, and end when a signal comes."""

    def __init__(
        self,
        fd: int,
        cancellation: CancellationToken,
        on_idle: Callable[[], None] | None,
        idle_seconds: float,
    ) -> None:
        self._fd = fd
        self._cancellation = cancellation
        self._on_idle = on_idle
        self._idle_seconds = idle_seconds
        self._ahead = b""

    def read(self) -> bytes:
        """What is there, at most ``CHUNK`` bytes; nothing at the end."""
        if self._ahead:
            data, self._ahead = self._ahead, b""
            return data
        self._wait()
        return os.read(self._fd, CHUNK)

    def starts_with_gzip_magic(self) -> bool:
        """Look at the first two bytes without consuming them."""
        while len(self._ahead) < len(gzip_input.MAGIC):
            self._wait()
            if not (data := os.read(self._fd, len(gzip_input.MAGIC))):
                break
            self._ahead += data
        return self._ahead.startswith(gzip_input.MAGIC)

    def _wait(self) -> None:
        self._cancellation.raise_if_cancelled()
        timeout = self._idle_seconds if self._on_idle else None
        while True:
            ready, _, _ = select.select([self._fd, self._cancellation.fileno()], [], [], timeout)
            self._cancellation.raise_if_cancelled()
            if self._fd in ready:
                return
            if self._on_idle:
                self._on_idle()
            timeout = None  # once is enough until something arrives


def name_of(path: str) -> str:
    """How messages call an input: its path, or ``standard input`` for ``-``."""
    return "standard input" if path == "-" else path


def open_file(path: str) -> int:
    """A descriptor to read the file from. Raises ``OSError``."""
    return os.open(path, os.O_RDONLY)


def chunks(
    path: str,
    cancellation: CancellationToken,
    *,
    opener: Callable[[str], int] = open_file,
    on_idle: Callable[[], None] | None = None,
    idle_seconds: float = 1,
) -> Iterator[bytes]:
    """The bytes of a file, or of standard input for ``-``, unpacked if they are gzip.

    Pieces come as they arrive, at most about a megabyte each. ``opener`` returns a descriptor of
    the file, which is closed at the end. ``on_idle`` is called when nothing arrived for
    ``idle_seconds``. Several gzip members are read as one file. Raises
    :class:`BadInput` if the file can't be read, or is cut or damaged (all that came before has
    been given out), :class:`Interrupted` on a signal.
    """
    _reuse_memory()
    try:
        fd = sys.stdin.fileno() if path == "-" else opener(path)
    except OSError as error:
        raise BadInput(f"Cannot read {path}: {error.strerror}.") from None
    try:
        for piece in _pieces_of(fd, _Source(fd, cancellation, on_idle, idle_seconds), path):
            cancellation.raise_if_cancelled()
            yield piece
    except OSError as error:
        raise BadInput(f"Cannot read {name_of(path)}: {error.strerror}.") from None
    finally:
        if path != "-":
            os.close(fd)


def _reuse_memory() -> None:
    """Let each piece have the memory of one before, instead of new memory of the system.

    glibc gives memory back to the system at once where it was for more than the largest that has
    been freed so far; see M_MMAP_THRESHOLD in mallopt(3). To be given new memory for each piece
    takes a fifth of the time of a run. What is allocated here is never written to, so it takes
    none.
    """
    bytes(_REUSED)


def _pieces_of(fd: int, source: _Source, path: str) -> Iterator[bytes]:
    if gzip_input.is_gzip_file(fd):
        return gzip_input.unpacked_file(fd, source.read, name_of(path))
    _widen_pipe(fd)
    if source.starts_with_gzip_magic():
        return gzip_input.unpacked(source.read, name_of(path))
    return iter(source.read, b"")


def _widen_pipe(fd: int) -> None:
    """Fewer, larger reads; what is not a pipe, or may not be enlarged, stays as it is."""
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, _F_SETPIPE_SZ, CHUNK)


def blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes cut at ends of lines: each block is whole lines.

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
    """Whether :func:`blocks` gave out only the beginning of this line, as it is too long."""
    return line.rstrip(b"\r\n").endswith(_CUT)


def _beginning(line: Sequence[bytes]) -> bytes:
    """What is given out of a line that is too long."""
    beginning = line[0]
    return beginning if beginning.endswith(_CUT) else beginning[:1000] + _CUT


async def write_lines(data: bytes, written: Callable[[bytes], None]) -> None:
    """Write whole lines to standard output; the event loop goes on while the reader is busy.

    ``written`` is called with each piece, whole lines as well, once it has been written. To a
    pipe a piece is written whole or not at all: if this is cancelled, the output ends with a
    line. Raises BrokenPipeError when the reader has gone, and :class:`Fatal` if the output can't
    be written.
    """
    fd = sys.stdout.fileno()
    if not _may_be_full(fd):
        write(data)
        written(data)
        return
    for piece in _pieces(data, select.PIPE_BUF):
        await _writable(fd)
        with _readable_errors():
            os.write(fd, piece)
        written(piece)


def _pieces(lines: bytes, size: int) -> Iterator[bytes]:
    """The lines in pieces of at most ``size`` bytes, but at least a line each."""
    start = 0
    while start < len(lines):
        end = lines.rfind(b"\n", start, start + size) + 1 or lines.find(b"\n", start) + 1
        yield lines[start : end or len(lines)]
        start = end or len(lines)


def _may_be_full(fd: int) -> bool:
    """Whether writing may have to wait: pipes and sockets, not files."""
    mode = os.fstat(fd).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


async def _writable(fd: int) -> None:
    """Until there is room for ``PIPE_BUF`` bytes, or the reader is gone."""
    if select.select([], [fd], [], 0)[1]:
        return
    import asyncio  # takes 20 ms, which most commands do not need

    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_writer(fd, ready.cancel)
    try:
        await asyncio.wait([ready])
    finally:
        loop.remove_writer(fd)


def write(data: bytes, cancellation: CancellationToken | None = None) -> None:
    """Write whole lines to standard output, and through to the reader: nothing is held back.

    Raises BrokenPipeError when the reader has gone, :class:`Fatal` if the output can't be written
    (a full disk), and :class:`Interrupted` if nobody reads in the time that a stop leaves; the
    output then ends with a line, unless that is very long.
    """
    with _readable_errors():
        write_to(sys.stdout.fileno(), data, cancellation)


def write_to(fd: int, data: bytes, cancellation: CancellationToken | None = None) -> None:
    """Write whole lines to a descriptor, as :func:`write` does. Raises ``OSError``."""
    if cancellation is None or not _may_be_full(fd):
        view: Any = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        return
    for lines in _pieces(data, select.PIPE_BUF):
        for start in range(0, len(lines), select.PIPE_BUF):
            _wait_until_writable(fd, cancellation)
            os.write(fd, lines[start : start + select.PIPE_BUF])


def output_error(error: OSError) -> Fatal:
    """The sentence for an error of writing to standard output."""
    reason = "it is closed" if error.errno == errno.EBADF else error.strerror
    return Fatal(
        f"Cannot write standard output ({reason}): write to a file or pipe that takes the output."
    )


@contextlib.contextmanager
def _readable_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise output_error(error) from None


def _wait_until_writable(fd: int, cancellation: CancellationToken) -> None:
    """A pipe that is writable takes ``PIPE_BUF`` bytes without blocking."""
    while not select.select([], [fd], [], 0)[1]:
        cancellation.raise_if_overdue()
        remaining = cancellation.remaining()
        stop = [cancellation.fileno()] if remaining is None else []
        select.select(stop, [fd], [], remaining)
