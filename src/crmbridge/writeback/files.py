"""Writing to exported files: `scores/<object>.csv` (or Parquet) beside the input, never into it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, cast

import pyarrow as pa

from crmbridge.connectors.base import CheckItem, Context
from crmbridge.connectors.files import Options as FilesOptions
from crmbridge.connectors.files.options import OUTPUT_FOLDER
from crmbridge.errors import SettingsError
from crmbridge.model.fields import CATALOGUE, FieldValue, fields_on, hubspot_name
from crmbridge.model.records import ObjectName
from crmbridge.store.lake.files import sync_folder
from crmbridge.writeback.base import Change, InstallStep, Outcome, Writer
from crmbridge.writeback.scores import ID, ScoresFile, told

SUFFIXES: Final = (".csv", ".parquet")


class FilesWriter(Writer):
    """Keeps one file per object with a row per record: its id and the fields of the connection.

    The rows and columns a person adds are kept. A scores file says nothing about whether a record exists: a
    record without a row holds nothing.
    """

    name = "files"
    objects = ("lead", "contact", "account", "deal", "rep")
    batch_size = 100_000  # every write replaces the whole file
    reads_are_free = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        options = cast(FilesOptions, context.options)
        self.folder: Path = options.path / OUTPUT_FOLDER
        self._suffix = f".{options.output}"
        self._files: dict[Path, ScoresFile] = {}

    def install(self, *, dry_run: bool) -> Iterator[InstallStep]:
        """Make the scores folder. A conflict: something else has its name, or a file in it can't be used."""
        conflicts = list(self._conflicts())
        yield from conflicts
        if conflicts:
            return
        what = f"folder {self.folder}"
        if self.folder.is_dir():
            yield InstallStep(what, "present")
        elif dry_run:
            yield InstallStep(what, "planned")
        else:
            self._make_folder()
            yield InstallStep(what, "done")

    def uninstall(self, *, dry_run: bool) -> Iterator[InstallStep]:
        """Remove our columns, and the files and the folder where nothing else is in them."""
        conflicts = list(self._conflicts())
        yield from conflicts
        if conflicts:
            return
        state: Final = "planned" if dry_run else "done"
        for object_name in self.objects:
            for file in self._existing(object_name):
                own = {hubspot_name(key) for key, field in CATALOGUE.items() if object_name in field.on}
                mine = [name for name in file.columns if name in own]
                if len(mine) + 1 < len(file.columns):
                    if not mine:
                        continue
                    yield InstallStep(f"columns {', '.join(mine)} of {file.path}", state)
                    if not dry_run:
                        file.drop(mine)
                else:
                    yield InstallStep(f"file {file.path}", state)
                    if not dry_run:
                        file.path.unlink()
        if self.folder.is_dir() and (dry_run or not os.listdir(self.folder)):
            yield InstallStep(
                f"folder {self.folder}, where empty" if dry_run else f"folder {self.folder}", state
            )
            if not dry_run:
                self.folder.rmdir()

    def check(self) -> Iterator[CheckItem]:
        """Whether the folder is there and can be written, and every file in it can be read."""
        conflicts = list(self._conflicts())
        for conflict in conflicts:
            yield CheckItem("scores", "failed", conflict.what, conflict.remedy)
        if conflicts:
            return
        there = self.folder.is_dir()
        folder = self.folder if there else self.folder.parent
        if not os.access(folder, os.W_OK | os.X_OK):
            yield CheckItem("scores", "failed", f"{folder} can't be written", "Grant the right to write.")
        elif there:
            yield CheckItem("scores", "ok", f"{self.folder} can be written")
        else:
            yield CheckItem("scores", "ok", f"{self.folder} can be made")

    def read(self, object_name: ObjectName, ids: Sequence[str]) -> Mapping[str, Mapping[str, FieldValue]]:
        """The values in the records' rows; `{}` for a record without a row. Raises SettingsError."""
        keys = [field.key for field in fields_on(object_name, self.context.fields)]
        return self._file(object_name).held(ids, keys)

    def read_table(self, object_name: ObjectName, ids: pa.Array) -> pa.Table:
        """`read` in columns, as they lie in the file."""
        keys = [field.key for field in fields_on(object_name, self.context.fields)]
        return self._file(object_name).held_table(ids, keys)

    def write(self, object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        """Replace the object's file by one with the changes. Raises SettingsError, StoreError."""
        if not self.folder.is_dir():
            self._make_folder()
        self._file(object_name).put(changes)
        return [Outcome(change.id, "sent") for change in changes]

    def _make_folder(self) -> None:
        with told(self.folder, "made"):
            self.folder.mkdir(parents=True, exist_ok=True)
            sync_folder(self.folder.parent)

    def _file(self, object_name: ObjectName) -> ScoresFile:
        return self._at(self.folder / f"{object_name}{self._suffix}")

    def _at(self, path: Path) -> ScoresFile:
        return self._files.setdefault(path, ScoresFile(path))

    def _existing(self, object_name: ObjectName) -> Iterator[ScoresFile]:
        for suffix in SUFFIXES:
            path = self.folder / f"{object_name}{suffix}"
            if path.exists():
                yield self._at(path)

    def _conflicts(self) -> Iterator[InstallStep]:
        if self.folder.exists() and not self.folder.is_dir():
            yield InstallStep(
                f"{self.folder} is a file", "conflict", "Move it away: the scores go into a folder."
            )
            return
        for object_name in self.objects:
            for file in self._existing(object_name):
                try:
                    columns = file.columns
                except SettingsError as error:
                    yield InstallStep(error.what, "conflict", error.remedy)
                    continue
                if columns.count(ID) > 1:
                    yield InstallStep(
                        f"{file.path} has two columns {ID!r}", "conflict", "Rename or remove one of them."
                    )
