"""Rows as text cells: the one form that Zoho's JSON and its CSV both become, so that both mean the same.

| Zoho's JSON | Zoho's CSV | cell |
|---|---|---|
| null, absent | empty | null |
| text | text | the text |
| true | true | `true` |
| number | number | its shortest exact form |
| lookup {"id", "name"} | id | id |
| ["a", "b"] | a;b | a;b |
| tags [{"name"}] | a,b | a,b |

Zoho keeps no empty texts: an empty one is null in both.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.csv as pv

BLOCK_BYTES: Final = 1 << 19
"""Of CSV decoded at one time: the reader holds several blocks ahead."""


def from_rows(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> pa.Table:
    """JSON rows as a table of text: `id`, then each of `names` that any row has."""
    columns = {"id": pa.array([_text(row.get("id")) or None for row in rows], pa.string())}
    for name in names:
        values = [row.get(name) for row in rows]
        kinds = set(map(type, values)) - {type(None)}
        if name != "id" and (kinds or any(name in row for row in rows)):
            columns[name] = _column(values, kinds)
    return pa.table(columns)


def _column(values: list[Any], kinds: set[type]) -> pa.Array:
    """A column of cells; values of one kind are turned into text by vector code."""
    if kinds <= {str}:
        return pa.array([value or None for value in values] if "" in values else values, pa.string())
    if kinds == {bool}:
        return pa.array(values, pa.bool_()).cast(pa.string())
    if kinds == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return pa.array(values, pa.int64()).cast(pa.string())
    return pa.array([_text(value) or None for value in values], pa.string())


def from_zip(content: IO[bytes]) -> Iterator[pa.Table]:
    """The one CSV of a Bulk Read result, block by block, as tables of text. The `Id` column is `id`.

    Raises ValueError for what is no ZIP of one CSV, or is cut short.
    """
    try:
        with zipfile.ZipFile(content) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            if len(names) != 1:
                raise ValueError(f"the result has {len(names)} files where one is expected")
            with archive.open(names[0]) as file:
                yield from _blocks(file)
    except zipfile.BadZipFile as error:
        raise ValueError(f"the result is no ZIP file: {error}") from error
    except pa.ArrowInvalid as error:
        raise ValueError(f"the result's CSV can't be read: {error}") from error


def _blocks(file: Any) -> Iterator[pa.Table]:
    # A byte order mark is skipped by the reader; all columns are text, whatever they look like.
    head = _header(file)
    if not head:
        return
    reader = pv.open_csv(
        file,
        read_options=pv.ReadOptions(block_size=BLOCK_BYTES, column_names=head, use_threads=False),
        parse_options=pv.ParseOptions(newlines_in_values=True),
        convert_options=pv.ConvertOptions(
            column_types=dict.fromkeys(head, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
            quoted_strings_can_be_null=True,
        ),
    )
    for batch in reader:
        yield pa.Table.from_batches([batch])


def _header(file: Any) -> list[str]:
    """The first line, read off the stream: field names have neither quotes' commas nor line ends."""
    line = file.readline().decode("utf-8-sig").rstrip("\r\n")
    names = [name.strip('"') for name in line.split(",")] if line else []
    return ["id" if name in ("Id", "ID") else name for name in names]


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Mapping):
        # A lookup is its id: CSV and COQL show no more.
        return _text(value.get("id", value.get("name")))
    if isinstance(value, Sequence):
        parts = [each for each in value if each is not None]
        if parts and isinstance(parts[0], Mapping):
            return ",".join(str(each.get("name", each.get("id"))) for each in parts)
        return ";".join(str(each) for each in parts)
    raise TypeError(f"JSON has no {type(value).__name__}")
