"""A scores file: a table with an `id` column, columns of ours, and whatever columns a person added.

CSV (UTF-8, comma) or Parquet, by its suffix. A CSV that went through a spreadsheet is still read: byte order
mark, semicolons or tabs, CRLF, Windows-1252, decimal commas. A file is replaced as a whole: written beside
itself, synced, renamed; what it held before or after is there at any instant, never a mixture.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from crmbridge.connectors.files import bounds, detect
from crmbridge.errors import SettingsError, StoreError
from crmbridge.model.fields import CATALOGUE, Field, FieldValue, hubspot_name
from crmbridge.store.lake.files import sync_folder
from crmbridge.writeback.base import Change
from crmbridge.writeback.values import in_one_piece

ID: Final = "id"
BLOCK_BYTES: Final = 16 * 2**20
_TEXT: Final = pa.large_string()
_NUMBER: Final = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_ISO: Final = "%Y-%m-%dT%H:%M:%SZ"

Signature = tuple[int, int, int]


class ScoresFile:
    """One scores file, read once as long as nobody changes it. A file that is not there holds nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._signature: Signature | None = None
        self._raw = _empty()
        self._typed: dict[str, pa.Array] = {}

    @property
    def columns(self) -> list[str]:
        """The columns the file has now. Raises SettingsError for a file that can't be read or lacks `id`."""
        self._refresh()
        return list(self._raw.column_names)

    def held(self, ids: Sequence[str], keys: Sequence[str]) -> dict[str, dict[str, FieldValue]]:
        """The values of our columns by id; an id without a row holds nothing, which is `{}`."""
        self._refresh()
        position = pc.index_in(pa.array(ids, _TEXT), value_set=self._ids())
        values = [self._values(key).take(position).to_pylist() for key in keys]
        present = position.is_valid().to_pylist()
        rows = zip(*values, strict=True) if values else iter([()] * len(ids))
        return {
            identifier: dict(zip(keys, row, strict=True)) if there else {}
            for identifier, there, row in zip(ids, present, rows, strict=True)
        }

    def held_table(self, ids: pa.Array, keys: Sequence[str]) -> pa.Table:
        """`held` in columns: `id` and one per key."""
        self._refresh()
        position = pc.index_in(ids.cast(_TEXT), value_set=self._ids())
        columns = {key: self._values(key).take(position) for key in keys}
        return pa.table({ID: ids, **columns})

    def put(self, changes: Sequence[Change]) -> None:
        """Write the changes: every row of a record's id, or a new row at the end. All else stays as it is."""
        self._refresh()
        if not changes:
            return
        rows = self._raw.num_rows
        new_ids = pa.array([change.id for change in changes], _TEXT)
        change_of_row = _positions(pc.index_in(self._ids(), value_set=new_ids))
        added = np.flatnonzero(_positions(pc.index_in(new_ids, value_set=self._ids())) < 0)
        # A column is rebuilt from (old rows, changes): each row from itself or its change, then the new rows.
        old = np.concatenate([np.arange(rows), np.full(len(added), -1)])
        change = np.concatenate([change_of_row, added])
        columns = {ID: _take(self._ids(), new_ids, old, change)}
        shapes = {tuple(each.values) for each in changes}
        for key in [key for key in CATALOGUE if any(key in shape for shape in shapes)]:
            written = self._render(CATALOGUE[key], [each.values.get(key) for each in changes])
            affected = change
            if len(shapes) > 1:
                has = np.array([key in each.values for each in changes], dtype=bool)
                affected = np.where(has[change], change, -1)
            columns[hubspot_name(key)] = _take(self._own(key, written.type), written, old, affected)
        for place, name in enumerate(self._raw.column_names):
            if name not in columns or place != self._raw.column_names.index(name):
                extra = in_one_piece(self._raw.column(place))
                columns[f"{place}\0{name}"] = extra.take(pa.array(old, mask=old < 0))
        self._save(self._in_order(columns))

    def drop(self, names: Sequence[str]) -> None:
        """Take columns out of the file."""
        self._refresh()
        self._save(self._raw.drop_columns([name for name in names if name in self._raw.column_names]))

    def _in_order(self, columns: Mapping[str, pa.Array]) -> pa.Table:
        """The file's own order of columns, then those that are new. A doubled column name stays doubled."""
        names, arrays = [], []
        left = dict(columns)
        for place, name in enumerate(self._raw.column_names):
            arrays.append(left.pop(name) if name in left else left.pop(f"{place}\0{name}"))
            names.append(name)
        return pa.Table.from_arrays([*arrays, *left.values()], names=[*names, *left])

    def _ids(self) -> pa.Array:
        ids = in_one_piece(self._raw.column(self._raw.column_names.index(ID)))
        return ids if ids.type == _TEXT else ids.cast(_TEXT)

    def _own(self, key: str, kind: pa.DataType) -> pa.Array:
        name = hubspot_name(key)
        if name not in self._raw.column_names:
            return pa.nulls(self._raw.num_rows, kind)
        column = in_one_piece(self._raw.column(self._raw.column_names.index(name)))
        with self._as_a(name):
            return column if column.type == kind else column.cast(kind)

    @contextmanager
    def _as_a(self, name: str) -> Iterator[None]:
        """Say in words that a Parquet column does not have a type that its field can have."""
        try:
            yield
        except pa.ArrowException as error:
            raise SettingsError(
                f"{self.path}: the column {name!r} can't be used: {error}.",
                remedy="Remove the column, or move the file away: it is made anew.",
            ) from error

    def _values(self, key: str) -> pa.Array:
        if key not in self._typed:
            name = hubspot_name(key)
            if name in self._raw.column_names:
                raw = in_one_piece(self._raw.column(self._raw.column_names.index(name)))
                with self._as_a(name):
                    self._typed[key] = _parse(CATALOGUE[key], raw)
            else:
                self._typed[key] = pa.nulls(self._raw.num_rows, CATALOGUE[key].arrow_type)
        return self._typed[key]

    def _render(self, field: Field, values: Sequence[FieldValue]) -> pa.Array:
        typed = pa.array([None if value == "" else value for value in values], field.arrow_type)
        if self.path.suffix == ".parquet":
            return typed.cast(pa.timestamp("s", "UTC")) if field.type == "datetime" else typed
        if field.type == "number":
            return pc.round(typed, field.decimals).cast(pa.decimal128(38, field.decimals)).cast(_TEXT)
        return typed.cast(_TEXT)

    def _refresh(self) -> None:
        signature = _signature(self.path)
        if signature == self._signature:
            return
        # In one piece: every use of a column would else make another whole copy of it.
        self._raw = _read(self.path).combine_chunks() if signature else _empty()
        if ID not in self._raw.column_names:
            raise SettingsError(
                f"{self.path} has no column {ID!r}.",
                remedy="Give the column with the records' ids this name again, or move the file away.",
            )
        self._typed.clear()
        self._signature = signature

    def _save(self, table: pa.Table) -> None:
        def write(sink: IO[bytes]) -> None:
            if self.path.suffix == ".parquet":
                pq.write_table(table, sink, compression="zstd")
            else:
                pa_csv.write_csv(table, sink)

        replace_file(self.path, write)
        # What is read next is what is on the disk, not what was meant to be there.
        self._signature, self._raw = None, _empty()
        self._typed.clear()


def replace_file(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Replace a file as a whole: a temporary one beside it, synced, renamed, the folder synced."""
    target = path.resolve()
    partial = target.with_name(f".{target.name}.partial")
    with told(path, "written"):
        try:
            with partial.open("wb") as sink:
                write(sink)
                sink.flush()
                os.fsync(sink.fileno())
            if target.exists():
                shutil.copymode(target, partial)
            os.replace(partial, target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)


@contextmanager
def told(path: Path, action: str) -> Iterator[None]:
    """Say in words that the system does not let a file or folder be `written` or `made`."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path} can't be {action}: {error.strerror or error}.",
            remedy="Check the folder's rights and space.",
        ) from error


def _take(
    old: pa.Array, new: pa.Array, row: npt.NDArray[np.int64], change: npt.NDArray[np.int64]
) -> pa.Array:
    """`new[change]` where there is a change, else `old[row]`, else null (both -1)."""
    source = np.where(change >= 0, len(old) + change, row)
    return pa.concat_arrays([old, new]).take(pa.array(source, mask=source < 0))


def _positions(found: pa.Array) -> npt.NDArray[np.int64]:
    positions: npt.NDArray[np.int64] = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return positions


def _empty() -> pa.Table:
    return pa.table({ID: pa.array([], _TEXT)})


def _signature(path: Path) -> Signature | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsError(
            f"{path} can't be read: {error.strerror or error}.",
            remedy="Check the rights of its folder, and that it is one.",
        ) from error
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read(path: Path) -> pa.Table:
    try:
        return pq.ParquetFile(path).read() if path.suffix == ".parquet" else _read_csv(path)
    except (OSError, pa.ArrowInvalid, csv.Error) as error:
        raise SettingsError(
            f"{path} can't be read: {error}.", remedy="Repair it, or move it away: it is made anew."
        ) from error


def _read_csv(path: Path) -> pa.Table:
    encoding = detect.encoding(path)
    with path.open(encoding=encoding, newline="") as text:
        first = text.readline().removeprefix("\ufeff")
        separator = first.lower().startswith("sep=")  # Excel's own way to say the delimiter
        delimiter, names = _header(text.readline() if separator else first)
    _refuse_unclosed_quotes(path, delimiter)
    return pa_csv.read_csv(
        path,
        read_options=pa_csv.ReadOptions(
            encoding="utf8" if encoding == "utf-8" else encoding,
            block_size=BLOCK_BYTES,
            skip_rows=1 if separator else 0,
        ),
        parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, _TEXT), null_values=[""], strings_can_be_null=True
        ),
    )


def _refuse_unclosed_quotes(path: Path, delimiter: str) -> None:
    """Raise csv.Error where a quote is opened and never closed: it would swallow the rows behind it."""
    with path.open("rb") as file:
        odd = sum(block.count(b'"') for block in iter(lambda: file.read(BLOCK_BYTES), b"")) % 2
    if odd:
        found = bounds.find(path.read_bytes(), delimiter.encode(), final=True)
        if found.unclosed:
            raise csv.Error(
                f"line {int(found.lines[found.unclosed[0]]) + 1} opens a quote and never closes it"
            )


def _header(line: str) -> tuple[str, list[str]]:
    """The delimiter with which the header has an `id`, and the header's names."""
    for delimiter in detect.DELIMITERS:
        names = next(csv.reader([line], delimiter=delimiter), [])
        if ID in names:
            return delimiter, names
    return detect.DELIMITERS[0], next(csv.reader([line]), [])


def _parse(field: Field, raw: pa.Array) -> pa.Array:
    """A column of the file as values of the field; what can't be one is null."""
    if pa.types.is_timestamp(raw.type):
        return pc.strftime(raw.cast(pa.timestamp("s", "UTC")), _ISO)
    if not (pa.types.is_string(raw.type) or pa.types.is_large_string(raw.type)):
        return raw.cast(field.arrow_type)
    if field.type == "number":
        text = pc.utf8_trim_whitespace(raw)
        comma = pc.match_substring_regex(text, r"^[+-]?\d+,\d+$")
        text = pc.if_else(comma, pc.replace_substring(text, ",", "."), text)
        number = pc.match_substring_regex(text, _NUMBER)
        return pc.if_else(number, text, pa.scalar(None, text.type)).cast(pa.float64())
    if field.type == "boolean":
        word = pc.utf8_lower(pc.utf8_trim_whitespace(raw))
        yes = pc.is_in(word, value_set=pa.array(["true", "yes", "1"], word.type))
        no = pc.is_in(word, value_set=pa.array(["false", "no", "0"], word.type))
        return pc.if_else(yes, True, pc.if_else(no, False, pa.scalar(None, pa.bool_())))
    return raw
