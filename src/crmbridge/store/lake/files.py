"""Parquet files of the lake: written whole or not at all, and read in batches."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from errno import ENOSPC
from functools import partial
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from crmbridge.errors import StoreError

ROW_GROUP: Final = 1 << 15
OWNER: Final = "crmbridge-ledger"
"""The file in the lake's folder that says which ledger it belongs to."""
_UNFINISHED: Final = ".unfinished"
_OURS: Final = re.compile(r"part-\d{6,}(?:-(\d+))?\.parquet(\.unfinished)?")


def part_path(connection: str, object_name: str, number: int, token: int | None = None) -> str:
    """Where a part lies below the lake's root. Raises ValueError for names that would lead out of it.

    `token` is the fencing token of the writer's lease: a writer that was replaced while it was silent, and
    wakes up, can't overwrite the file of its successor.
    """
    folders = [connection, *object_name.split("/")]
    for folder in folders:
        if folder in ("", ".", "..") or "\\" in folder or "/" in folder or "\0" in folder:
            raise ValueError(f"{folder!r} can't be the name of a folder in the lake")
    fence = "" if token is None else f"-{token}"
    return "/".join([*folders, f"part-{number:06d}{fence}.parquet"])


def token_of(path: Path) -> int:
    """The fencing token in a part's name; 0 where it was written without a lease."""
    found = _OURS.fullmatch(path.name)
    return int(found[1] or 0) if found else 0


def write(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """Write a file under a temporary name, sync it, give it its name; returns its bytes. Raises StoreError.

    Afterwards the file is on the disk under its name, and so is the name; before, nothing is to be seen.
    """
    unfinished = path.with_name(path.name + _UNFINISHED)
    with in_words("write", path):
        make_folder(path.parent)
        try:
            with open(unfinished, "wb") as file:
                with pq.ParquetWriter(
                    file,
                    schema,
                    compression="zstd",
                    compression_level=1,
                    use_dictionary=[field.name for field in schema if pa.types.is_string(field.type)],
                    write_statistics=False,
                ) as writer:
                    for table in tables:
                        writer.write_table(table, row_group_size=ROW_GROUP)
                file.flush()
                os.fsync(file.fileno())
            size = unfinished.stat().st_size
            os.replace(unfinished, path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    return size


def digest(path: Path) -> bytes:
    """blake2b (16 bytes) over a file. Raises StoreError."""
    with in_words("read", path), open(path, "rb") as file:
        return hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=16)).digest()


def read(
    path: Path, columns: Sequence[str] | None = None, batch_size: int = ROW_GROUP
) -> Iterator[pa.RecordBatch]:
    """The rows of a file in batches: all columns, or those asked for that it has. Raises StoreError."""
    with in_words("read", path), pq.ParquetFile(path) as file:
        names = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
        yield from file.iter_batches(batch_size, columns=names)


def read_schema(path: Path) -> pa.Schema:
    """The columns of a file. Raises StoreError."""
    with in_words("read", path):
        return pq.read_schema(path)


def count_rows(path: Path) -> int:
    """How many rows a file says it has. Raises StoreError."""
    with in_words("read", path):
        return int(pq.read_metadata(path).num_rows)


def ours(folder: Path) -> Iterator[Path]:
    """Every file below the folder that bears a part's name, finished or not."""
    for path in sorted(folder.rglob("part-*")):
        if is_ours(path):
            yield path


def is_ours(path: Path) -> bool:
    """Whether the file bears a part's name, finished or not."""
    return _OURS.fullmatch(path.name) is not None


def is_whole(path: Path) -> bool:
    """Whether a part's file was written to its end: only then it has its name."""
    return path.suffix != _UNFINISHED


def owner(root: Path) -> str | None:
    """The identity of the ledger that the lake belongs to; None where none is noted. Raises StoreError."""
    path = root / OWNER
    with in_words("read", path):
        return path.read_text(encoding="ascii").strip() if path.is_file() else None


def set_owner(root: Path, identity: str) -> None:
    """Say which ledger the lake belongs to. Raises StoreError."""
    path = root / OWNER
    unfinished = path.with_name(path.name + _UNFINISHED)
    with in_words("write", path):
        make_folder(root)
        try:
            with open(unfinished, "w", encoding="ascii") as file:
                file.write(identity + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        sync_folder(root)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, each synced into its parent."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder onto the disk, where the system has a way to."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def in_words(action: str, path: Path) -> Iterator[None]:
    """Turn what the system or Arrow says about a file into a StoreError."""
    try:
        yield
    except FileNotFoundError as error:
        raise StoreError(
            f"A part of the lake is gone: {path}.",
            remedy="Run again if another process was compacting the lake; else restore the file.",
        ) from error
    except pa.ArrowInvalid as error:
        if action != "read":
            raise
        raise StoreError(
            f"A part of the lake is damaged: {path}.", remedy="Restore the file from a backup."
        ) from error
    except OSError as error:
        remedy = "Check the folder's rights and the disk, then run again: nothing was half written."
        if error.errno == ENOSPC or "No space left" in str(error):
            remedy = "Free space on the disk, then run again: nothing was half written."
        raise StoreError(
            f"The lake can't {action} {path}: {error.strerror or error}.", remedy=remedy
        ) from error
