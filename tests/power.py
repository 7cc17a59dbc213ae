"""A power cut: what was done to files is recorded, and of what was not synced the worst is left.

The model is the strictest that POSIX allows. A file's bytes are on the disk up to its last fsync, a name is
there (or gone, or moved) once its folder was synced; until then the disk may have the new state or the old.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


class PowerCut(BaseException):
    """The process ends here."""


class Disk:
    """The files below a folder, as they are on the disk. Each sync or change of a name is an instant."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.content: dict[int, bytes] = {}  # by inode: bytes that were synced
        self.names: dict[str, int] = {}  # names that were synced, by path below the root
        self.pinned: list[int] = []
        self.instants = 0
        self.cut_at = -1

    def instant(self) -> None:
        """Something was done; at the chosen one the power fails."""
        if self.instants == self.cut_at:
            raise PowerCut
        self.instants += 1

    def synced(self, handle: int) -> None:
        """A file or a folder is on the disk as it is now."""
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        if not path.is_relative_to(self.root):
            return
        if not path.is_dir():
            inode = os.fstat(handle).st_ino
            if inode not in self.content:
                self.pinned.append(os.dup(handle))  # so that its number is not used again
            self.content[inode] = path.read_bytes()
            return
        below = {path / name for name in os.listdir(path)}
        there = {str(file.relative_to(self.root)): file.stat().st_ino for file in below if file.is_file()}
        gone = [name for name in self.names if (self.root / name).parent == path]
        for name in gone:
            del self.names[name]
        self.names |= there

    def close(self) -> None:
        for handle in self.pinned:
            os.close(handle)
        self.pinned.clear()

    def lose_what_was_not_synced(self) -> None:
        """Make the folder what the disk has: names as of their folder's sync, bytes as of their own."""
        for path in list(self.root.rglob("*")):
            if path.is_file():
                path.unlink()
        for name, inode in self.names.items():
            place = self.root / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(self.content.get(inode, b""))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Record what this process does to files."""
        with pytest.MonkeyPatch.context() as patch:
            fsync, replace, unlink = os.fsync, os.replace, Path.unlink

            def syncing(handle: int) -> None:
                self.instant()
                fsync(handle)
                self.synced(handle)

            def replacing(source: Any, target: Any) -> None:
                self.instant()
                replace(source, target)

            def unlinking(path: Path, missing_ok: bool = False) -> None:
                self.instant()
                unlink(path, missing_ok=missing_ok)

            patch.setattr(os, "fsync", syncing)
            patch.setattr(os, "replace", replacing)
            patch.setattr(Path, "unlink", unlinking)
            yield
