"""The files of a connection: which there are, what they hold, whether they have changed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
from pydantic import JsonValue

from crmbridge.connectors.files.options import (
    OUTPUT_FOLDER,
    PARQUET_ENDINGS,
    TEXT_ENDINGS,
    ObjectOptions,
    ending,
    is_pattern,
)
from crmbridge.connectors.files.parquet import ParquetFile
from crmbridge.connectors.files.text import TextFile
from crmbridge.errors import SettingsError
from crmbridge.model.records import ObjectName

_HASH_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Export:
    """One file of an object: its name below the folder and where it is."""

    name: str
    path: Path

    def state(self) -> tuple[int, int, int]:
        """What changes when somebody writes the file: which file it is, its size, when it was written."""
        stat = self.path.stat()
        return stat.st_ino, stat.st_size, stat.st_mtime_ns

    def is_still(self, state: tuple[int, int, int]) -> bool:
        """Whether nobody has written or removed the file since it was in this state."""
        try:
            return self.state() == state
        except OSError:
            return False

    def fingerprint(self) -> dict[str, JsonValue]:
        """Its size and the SHA-256 of its bytes."""
        digest, size = hashlib.sha256(), 0
        with self.path.open("rb") as stream:
            while chunk := stream.read(_HASH_BYTES):
                digest.update(chunk)
                size += len(chunk)
        return {"size": size, "sha256": digest.hexdigest()}

    def look(self, options: ObjectOptions) -> TextFile | ParquetFile:
        """Open it and learn its columns. Raises SettingsError where it can't be read."""
        try:
            if ending(self.name) in PARQUET_ENDINGS:
                return ParquetFile.look(self.path, options)
            found = TextFile.look(self.path, options)
        except OSError as error:
            raise unreadable(self.name, error) from error
        except pa.ArrowInvalid as error:
            raise SettingsError(
                f"{self.name} is not a whole Parquet file.", remedy="Export it again."
            ) from error
        except UnicodeError as error:
            raise SettingsError(
                f"{self.name} can't be read as {options.encoding}: {error}.",
                remedy="Correct encoding, or leave it out to have it detected.",
            ) from error
        if options.columns and found.empty is None and found.width != len(options.columns):
            raise SettingsError(
                f"columns names {len(options.columns)}, but {self.name} has {found.width} cells in a row.",
                remedy="Correct columns or delimiter, or leave columns out where the first row names them.",
            )
        return found


def exports(folder: Path, object_name: ObjectName, options: ObjectOptions) -> list[Export]:
    """The files of an object, those of one pattern sorted by name. Raises SettingsError."""
    found: dict[str, Export] = {}
    for wanted in options.file:
        # A file of this very name comes first: its name may look like a pattern.
        matching = [folder / wanted] if (folder / wanted).is_file() else []
        if not matching and is_pattern(wanted):
            matching = sorted(path for path in folder.glob(wanted) if _is_export(path.relative_to(folder)))
            matching = [path for path in matching if path.is_file()]
        if not matching:
            raise SettingsError(
                f"{object_name}: there is no file {wanted!r} in {folder}.",
                remedy=f"Put the export there, or correct file. {_there_are(folder)}",
            )
        for path in matching:
            name = path.relative_to(folder).as_posix()
            found.setdefault(name, Export(name, path))
    return list(found.values())


def check_folder(folder: Path) -> None:
    """Raises SettingsError where the folder can't be listed."""
    try:
        next(folder.iterdir(), None)
    except OSError as error:
        raise SettingsError(
            f"the folder {folder} can't be read: {error.strerror}.",
            remedy="Put the exports there, or correct path; it counts from the settings file's folder.",
        ) from error


def unreadable(name: str, error: OSError) -> SettingsError:
    """The sentence for a file that the operating system does not let us read."""
    return SettingsError(
        f"{name} can't be read: {error.strerror or error}.",
        remedy="Give this user the right to read it, or export it again.",
    )


def _is_export(path: Path) -> bool:
    return path.parts[0] != OUTPUT_FOLDER and ending(path.name) in TEXT_ENDINGS | PARQUET_ENDINGS


def _there_are(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and _is_export(Path(path.name)))
    return f"The folder has: {', '.join(names[:20])}." if names else "The folder has no exports."
