"""The archive's files, for :class:`tests.archive_server.ArchiveServer`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Self


@dataclass
class File:
    """One object of the archive. Without a ``body`` it is served as ``size`` zero bytes."""

    size: int = -1  #: bytes; by default those of the body
    date: str = "2017-03-07T12:07:51Z"
    body: bytes | None = None
    content_type: str = ""  #: by default what the extension says
    status: int = 200

    def __post_init__(self) -> None:
        if self.size < 0:
            self.size = len(self.body or b"")


class Tree(MutableMapping[str, File]):
    """Files by raw key, with an index of their folders that follows each change."""

    def __init__(self, files: Mapping[str, File]) -> None:
        self._files: dict[str, File] = {}
        self._folders: dict[str, dict[str, None]] = {"": {}}
        self.update(files)

    def __getitem__(self, key: str) -> File:
        return self._files[key]

    def __setitem__(self, key: str, file: File) -> None:
        if key not in self._files:
            self._enter(key)
        self._files[key] = file

    def __delitem__(self, key: str) -> None:
        del self._files[key]
        self._strike(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __ior__(self, files: Mapping[str, File]) -> Self:
        self.update(files)
        return self

    def entries(self, folder: str) -> list[str] | None:
        """The content of ``folder/`` ("" is the root), sorted; subfolders end with a slash."""
        return sorted(self._folders[folder]) if folder in self._folders else None

    def _enter(self, path: str) -> None:
        while path:
            folder, name = _split(path)
            known = folder in self._folders
            self._folders.setdefault(folder, {})[name] = None
            path = "" if known else folder

    def _strike(self, path: str) -> None:
        while path:
            folder, name = _split(path)
            self._folders[folder].pop(name, None)
            if self._folders[folder] or not folder:
                return
            del self._folders[folder]
            path = folder


def _split(path: str) -> tuple[str, str]:
    """``pub/a/`` → ``pub/``, ``a/``; ``pub/a`` → ``pub/``, ``a``."""
    cut = path.rstrip("/").rfind("/") + 1
    return path[:cut], path[cut:]
