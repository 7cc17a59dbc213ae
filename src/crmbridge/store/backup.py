"""A backup of ledger and lake, made while runs go on, and its restoring, into whichever database is set.

A backup is a folder:

| file | what |
|---|---|
| `ledger/TABLE.parquet` | a table of the ledger, all of one instant |
| `lake/...` | the parts that the ledger registered at that instant; hard links where the disk is the same |
| `backup.json` | what it is, written last: a folder without it is no backup |

Secrets are in it as the ledger has them, encrypted; the key is not.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from errno import EMLINK, EPERM, EXDEV
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa

from crmbridge.errors import SettingsError, StoreError
from crmbridge.store import migrations
from crmbridge.store.lake import Lake, files
from crmbridge.store.ledger import Ledger, Part, Snapshot, tables

FORMAT: Final = 1
MANIFEST: Final = "backup.json"
_TRIES: Final = 100
_NO_LINKS: Final = (EXDEV, EPERM, EMLINK)


@dataclass(frozen=True)
class Backup:
    """A backup: where, as of when, and what is in it. `linked` counts the parts that share the disk's blocks
    with the lake.
    """

    place: str
    made_at: datetime
    revision: str
    rows: int
    parts: int
    bytes: int
    linked: int


def backup(ledger: Ledger, lake: Lake, folder: Path) -> Backup:
    """Copy ledger and lake as they are at one instant. Raises SettingsError where the folder is not empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingsError(f"{folder} is not an empty folder.", remedy="Name a new one for each backup.")
    identity = ledger.identity()
    with files.in_words("write", folder):
        files.make_folder(folder)
        folder.chmod(0o700)
    linked: dict[str, bool] = {}
    for _ in range(_TRIES):
        with ledger.snapshot() as snapshot:
            parts = snapshot.parts()
            if not _copy_parts(lake.root, folder / "lake", parts, linked):
                continue  # merged away since: the next snapshot has what took their place
            rows = _dump(snapshot, folder / "ledger")
        break
    else:
        raise StoreError(
            f"The backup {folder} was overtaken by compaction {_TRIES} times.",
            remedy="Run `crmbridge store check`; if it finds nothing, make the backup again.",
        )
    names = {part.path for part in parts}
    for path in linked.keys() - names:
        (folder / "lake" / path).unlink()
    files.set_owner(folder / "lake", identity)
    made = Backup(
        str(folder.absolute()),
        ledger.clock(),
        migrations.HEAD,
        rows,
        len(parts),
        sum(part.bytes for part in parts),
        sum(linked[name] for name in names),
    )
    _write_manifest(folder, made)
    ledger.add_copy(None, "backup", made.place)
    return made


def restore(ledger: Ledger, lake: Lake, folder: Path, *, overwrite: bool = False) -> Backup:
    """Bring ledger and lake back to what they were when the backup was made.

    All parts are looked at first. Raises SettingsError where there is no backup, and, unless told to
    `overwrite`, where the ledger or the lake holds something; BusyError where a run is under way; StoreError
    where the backup is damaged.
    """
    made = _manifest(folder)
    held = lake.root.is_dir() and any(lake.root.iterdir())
    if held or not ledger.is_empty():
        if not overwrite:
            place = lake.root if held else ledger.place
            raise SettingsError(
                f"{place} is not empty.",
                remedy="Restore into a new place under [store], or give --overwrite to lose what is there.",
            )
        ledger.refuse_under_hold("restore --overwrite")
        for connection in ledger.connections():
            with ledger.lease(f"connection/{connection}"):
                pass
    parts = [Part(**row) for rows in _rows(folder, "parts") for row in rows if row.pop("id")]
    problems = Lake(folder / "lake", ledger).problems(parts)
    if len(parts) != made.parts or problems:
        said = problems[0] if problems else f"It has {len(parts)} parts of {made.parts}."
        raise StoreError(f"The backup {folder} is damaged. {said}", remedy="Use another one.")
    arriving = lake.root.with_name(lake.root.name + ".restoring")
    leaving = lake.root.with_name(lake.root.name + ".replaced")
    with files.in_words("write", arriving):
        for path in (arriving, leaving):
            if path.exists():
                shutil.rmtree(path)
        files.make_folder(arriving)
        for part in parts:
            _copy(folder / "lake" / part.path, arriving / part.path)
        files.set_owner(arriving, files.owner(folder / "lake") or "")
        if lake.root.exists():
            os.replace(lake.root, leaving)
        os.replace(arriving, lake.root)
        files.sync_folder(lake.root.parent)
    names = [path.stem for path in sorted((folder / "ledger").glob("*.parquet"))]
    ledger.replace_all(made.revision, {name: _rows(folder, name) for name in names})
    if leaving.exists():
        shutil.rmtree(leaving)
    return made


def _copy_parts(root: Path, target: Path, parts: list[Part], linked: dict[str, bool]) -> bool:
    """Link or copy what is not there yet; False where one is gone."""
    for part in parts:
        if part.path in linked:
            continue
        source, copy = root / part.path, target / part.path
        with files.in_words("write", copy):
            files.make_folder(copy.parent)
            try:
                linked[part.path] = _link_or_copy(source, copy)
            except FileNotFoundError:
                return False
    return True


def _link_or_copy(source: Path, copy: Path) -> bool:
    try:
        os.link(source, copy)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _copy(source, copy)
        return False
    return True


def _copy(source: Path, copy: Path) -> None:
    """A copy that is on the disk."""
    files.make_folder(copy.parent)
    with open(source, "rb") as old, open(copy, "wb") as new:
        shutil.copyfileobj(old, new, 1 << 20)
        new.flush()
        os.fsync(new.fileno())
    files.sync_folder(copy.parent)


def _dump(snapshot: Snapshot, folder: Path) -> int:
    total = 0
    for table in tables.metadata.sorted_tables:
        schema = pa.schema([pa.field(column.name, _arrow_type(column)) for column in table.columns])

        def chunks(table: sa.Table = table, schema: pa.Schema = schema) -> Iterator[pa.Table]:
            nonlocal total
            for rows in snapshot.rows(table):
                total += len(rows)
                yield pa.Table.from_pylist(rows, schema)

        files.write(folder / f"{table.name}.parquet", schema, chunks())
    return total


def _arrow_type(column: sa.Column[Any]) -> pa.DataType:
    kind = column.type
    if isinstance(kind, tables.Moment):
        return pa.timestamp("us", tz="UTC")
    if isinstance(kind, sa.Boolean):
        return pa.bool_()
    if isinstance(kind, sa.LargeBinary):
        return pa.binary()
    return pa.int64() if isinstance(kind, sa.Integer) else pa.string()


def _rows(folder: Path, table: str) -> Iterator[list[dict[str, Any]]]:
    for batch in files.read(folder / "ledger" / f"{table}.parquet", batch_size=10_000):
        yield batch.to_pylist()


def _write_manifest(folder: Path, made: Backup) -> None:
    content: Mapping[str, Any] = {**vars(made), "format": FORMAT, "made_at": made.made_at.isoformat()}
    with files.in_words("write", folder), open(folder / MANIFEST, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    files.sync_folder(folder)


def _manifest(folder: Path) -> Backup:
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise StoreError(f"The backup {folder} was made by a newer crmbridge.", remedy="Upgrade it here.")
        made_at = datetime.fromisoformat(content["made_at"])
        return Backup(**{**content, "made_at": made_at, "place": str(folder.absolute())})
    except (OSError, ValueError, KeyError, TypeError):
        raise SettingsError(
            f"{folder} is not a whole backup: it has no readable {MANIFEST}.",
            remedy="Name a folder that `crmbridge store backup` has made.",
        ) from None
