"""Reading CSV: bytes become blocks of whole records, and each block a table of text columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv

from crmbridge.connectors.files import detect
from crmbridge.connectors.files.bounds import Bounds, find
from crmbridge.connectors.files.options import BLANKS, ObjectOptions
from crmbridge.connectors.files.rows import PAGE_ROWS, Broken, Rows
from crmbridge.connectors.files.stream import Utf8Stream, bad_byte

BLOCK_BYTES: Final = 1 << 23
LONGEST_RECORD: Final = 1 << 24
"""Bytes after which a quote that is still open counts as never closed."""


@dataclass(frozen=True)
class _Block:
    """Whole records, as bytes; the text begins on line `line`. `damage` says why the file breaks off here."""

    text: bytes
    bounds: Bounds
    line: int
    damage: str | None

    def raw(self, record: int) -> str:
        text = self.text[self.bounds.starts[record] : self.bounds.ends[record]]
        return text.decode("utf-8", "replace").rstrip("\r\n")

    def line_of(self, record: int) -> int:
        return self.line + int(self.bounds.lines[record])

    def without_first(self) -> _Block:
        bounds = self.bounds
        rest = replace(
            bounds,
            starts=bounds.starts[1:],
            ends=bounds.ends[1:],
            lines=bounds.lines[1:],
            unclosed=tuple(record - 1 for record in bounds.unclosed if record),
        )
        return replace(self, bounds=rest)


@dataclass(frozen=True)
class TextFile:
    """A text file and how it is written: what the settings say, and what was detected where they don't.

    `columns` are the names of its columns, `width` the usual number of cells in a row. `header` tells whether
    its first record names the columns. `empty` says why there is nothing in the file, not even that.
    """

    path: Path
    encoding: str
    delimiter: str
    blanks: bool
    quotes_everything: bool
    columns: tuple[str, ...]
    width: int
    header: bool
    empty: str | None
    null_values: tuple[str, ...]

    @classmethod
    def look(cls, path: Path, options: ObjectOptions) -> TextFile:
        """Find out how a file is written, and read its header.

        Raises OSError, and UnicodeError for UTF-16 without a byte order mark.
        """
        encoding = options.encoding or detect.encoding(path)
        blanks = options.delimiter == BLANKS
        with detect.opened(path) as stream:
            source = Utf8Stream(stream, encoding, blanks=blanks)
            sample = source.read(detect.SAMPLE_BYTES)
            while not source.at_end and sample.count(b"\n") < 2:
                sample += source.read(len(sample) or detect.SAMPLE_BYTES)
        delimiter = "\t" if blanks else options.delimiter
        said = detect.SEPARATOR_LINE.match(sample)
        if said:
            delimiter, sample = delimiter or said[1].decode(), sample[said.end() :]
        shape = detect.shape(sample, delimiter, whole=source.at_end)
        bounds = find(sample, shape.delimiter.encode(), final=source.at_end)
        empty = None if len(bounds.starts) else source.damage or "the file is empty"
        columns = options.columns or ()
        if options.columns is None and empty is None:
            columns = _distinct(detect.cells(sample[bounds.starts[0] : bounds.ends[0]], shape.delimiter))
        return cls(
            path=path,
            encoding=encoding,
            delimiter=shape.delimiter,
            blanks=blanks,
            quotes_everything=shape.quotes_everything,
            columns=columns,
            width=shape.width,
            header=options.columns is None,
            empty=empty,
            null_values=options.null_values,
        )

    @property
    def is_guess(self) -> bool:
        """Whether the encoding, where it was detected, could as well be another one."""
        return not self.encoding.startswith("utf-")

    def rows(self) -> Iterator[Rows]:
        """The rows after the header, page by page. Raises OSError where the file can't be opened."""
        if self.empty is not None:
            yield Rows.broken_only(self.columns, Broken(1, self.empty))
            return
        header, number = self.header, 0
        for block in self._blocks():
            if header and len(block.bounds.starts):
                header, block = False, block.without_first()
            yield from self._pages(block, number)
            number += len(block.bounds.starts)

    def _blocks(self) -> Iterator[_Block]:
        mark = self.delimiter.encode()
        with detect.opened(self.path) as stream:
            source = Utf8Stream(stream, self.encoding, blanks=self.blanks)
            text, line = source.read(BLOCK_BYTES), 1
            said = detect.SEPARATOR_LINE.match(text)
            if said:
                text, line = text[said.end() :], 2
            while True:
                final = source.at_end
                bounds = find(text, mark, final=final, hopeless=len(text) > LONGEST_RECORD)
                if bounds.consumed or final:
                    yield _Block(text, bounds, line, source.damage if final else None)
                if final:
                    return
                text, line = text[bounds.consumed :], line + bounds.newlines
                text += source.read(max(BLOCK_BYTES, len(text)))

    def _pages(self, block: _Block, before: int) -> Iterator[Rows]:
        """The rows of one block, `before` rows of the file having come before it."""
        fits = np.ones(len(block.bounds.starts), bool)
        broken: list[Broken] = []

        def set_aside(record: int, reason: str) -> None:
            fits[record] = False
            broken.append(Broken(block.line_of(record), reason, block.raw(record)))

        for record in block.bounds.unclosed:
            set_aside(record, "a quote is opened and never closed; is the file cut off here?")
        if block.damage and len(fits) and fits[-1] and not block.text.endswith(b"\n"):
            set_aside(len(fits) - 1, f"{block.damage}: this row is cut off")
        elif block.damage:
            broken.append(Broken(block.line + block.bounds.newlines, block.damage))
        table = self._parsed(block, fits, set_aside)
        kept = np.flatnonzero(fits)
        rows = Rows(
            table=table,
            numbers=before + 1 + kept,
            lines=block.line + block.bounds.lines[kept],
            raw=lambda row: block.raw(int(kept[row])),
            broken=sorted(broken, key=lambda row: row.line),
        )
        for start in range(0, max(table.num_rows, 1), PAGE_ROWS):
            yield rows.part(start, PAGE_ROWS)

    def _parsed(
        self, block: _Block, fits: npt.NDArray[np.bool_], set_aside: Callable[[int, str], None]
    ) -> pa.Table:
        """The records that fit as a table; those that turn out not to are set aside."""
        if bad_byte(block.text) is not None:
            # Bytes that can't be decoded spoil a whole block for pyarrow; without their rows it can be cut.
            for record in np.flatnonzero(fits).tolist():
                byte = bad_byte(block.text[block.bounds.starts[record] : block.bounds.ends[record]])
                if byte is not None:
                    set_aside(
                        record, f"the byte 0x{byte:02X} can't be read as {self.encoding}; is encoding right?"
                    )
        return self._cut(block, fits, set_aside)

    def _cut(
        self, block: _Block, fits: npt.NDArray[np.bool_], set_aside: Callable[[int, str], None]
    ) -> pa.Table:
        bounds = block.bounds
        given = np.flatnonzero(fits)
        if not len(given):
            return pa.schema([(name, pa.string()) for name in self.columns]).empty_table()
        if len(given) == len(fits):
            text = memoryview(block.text)[int(bounds.starts[0]) : int(bounds.ends[-1])]
        else:
            # Each with a newline of its own: what is left out may have been between two records, or the last.
            parts = (block.text[bounds.starts[k] : bounds.ends[k]] for k in given)
            text = memoryview(
                b"".join(part if part.endswith((b"\n", b"\r")) else part + b"\n" for part in parts)
            )
        ragged: list[Any] = []

        def skip(row: Any) -> str:
            ragged.append(row)
            return "skip"

        table = pacsv.read_csv(
            pa.BufferReader(text),
            read_options=pacsv.ReadOptions(
                column_names=self.columns, block_size=len(text) + 1, use_threads=False
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=self.delimiter, newlines_in_values=True, invalid_row_handler=skip
            ),
            convert_options=pacsv.ConvertOptions(
                column_types={name: pa.string() for name in self.columns},
                null_values=list(self.null_values),
                strings_can_be_null=True,
                quoted_strings_can_be_null=self.quotes_everything,
            ),
        )
        last = len(fits) - 1
        for row in ragged:
            record = int(given[row.number - 1])
            cut_off = record == last and not block.text.endswith((b"\n", b"\r"))
            set_aside(
                record,
                f"has {row.actual_columns} cell{'' if row.actual_columns == 1 else 's'} "
                f"instead of {row.expected_columns}" + ("; is the file cut off here?" if cut_off else ""),
            )
        return table


def _distinct(header: list[str]) -> tuple[str, ...]:
    """Names for a header's columns: one without a name gets its place, a second of a name a number."""
    names: list[str] = []
    for place, cell in enumerate(header, start=1):
        wanted = cell.strip() or f"column {place}"
        name, number = wanted, 1
        while name in names:
            number += 1
            name = f"{wanted} ({number})"
        names.append(name)
    return tuple(names)
