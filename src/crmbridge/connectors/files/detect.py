"""How a text file is written: its encoding and its delimiter, where the settings do not say."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

import charset_normalizer

from crmbridge.connectors.files.bounds import find

SAMPLE_BYTES: Final = 1 << 16
CHUNK_BYTES: Final = 1 << 22
DELIMITERS: Final = (",", ";", "\t", "|")
_SAMPLE_ROWS: Final = 100
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LEGACY: Final = (
    "cp1252",
    "cp1250",
    "cp1251",
    "cp1253",
    "cp1254",
    "cp1255",
    "cp1256",
    "cp1257",
    "cp932",
    "gb18030",
)
_FALLBACK: Final = "cp1252"
_ESCAPED: Final = re.compile("[\udc80-\udcff]")
_BEYOND_ASCII: Final = re.compile(rb"[^\r\n]*[\x80-\xff][^\r\n]*")
SEPARATOR_LINE: Final = re.compile(rb"sep=(.)(?:\r\n|\n|\r)", re.IGNORECASE)
"""Excel's own way to say the delimiter: a first line `sep=;`."""


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked where it is a `.gz`."""
    if path.name.lower().endswith(".gz"):
        with gzip.open(path, "rb") as packed:
            yield cast(BinaryIO, packed)
    else:
        with path.open("rb") as plain:
            yield plain


def chunks(stream: BinaryIO) -> Iterator[bytes]:
    """The stream's bytes. A packed file that ends too early, or is damaged, raises OSError or EOFError."""
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def encoding(path: Path) -> str:
    """The encoding of a file: by its byte order mark, UTF-8 where that fits, else the likeliest legacy one.

    A few bad bytes in a file that is otherwise UTF-8, with letters beyond ASCII to prove it, do not make it
    another encoding. Looks at the whole file, for the first umlaut may stand in the last row.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    beyond = bad = 0
    sample = b""
    with opened(path) as stream:
        try:
            for number, chunk in enumerate(chunks(stream)):
                if number == 0:
                    for mark, name in _BOMS:
                        if chunk.startswith(mark):
                            return name
                text = decoder.decode(chunk)
                if not text.isascii():
                    bad += len(_ESCAPED.findall(text))
                    beyond += len(text) - len(text.encode("ascii", "ignore"))
                    if bad and len(sample) < SAMPLE_BYTES:
                        sample += b"\n".join(match[0] for match in _BEYOND_ASCII.finditer(chunk))[
                            :SAMPLE_BYTES
                        ]
            cut = len(decoder.decode(b"", final=True))
            bad, beyond = bad + cut, beyond + cut
        except (EOFError, OSError):
            pass  # a damaged packed file: what can be read of it says enough; reading reports the damage
    good = beyond - bad
    if bad <= good:
        return "utf-8"
    best = charset_normalizer.from_bytes(sample, cp_isolation=list(_LEGACY)).best()
    return best.encoding if best else _FALLBACK


@dataclass(frozen=True)
class Shape:
    """The delimiter, the usual number of cells in a row, and whether every cell is quoted, empty ones too.

    A file that quotes everything does not tell an empty text from no value.
    """

    delimiter: str
    width: int
    quotes_everything: bool


def shape(sample: bytes, delimiter: str | None, *, whole: bool) -> Shape:
    """The shape of a text (UTF-8) by its first rows; `delimiter` where the settings give it.

    The delimiter is the one that cuts most rows into the same number of cells, at least two; the comma where
    none does. `whole` says that the sample is the whole text.
    """
    if delimiter is None:
        scored = []
        for candidate in DELIMITERS:
            width, agreeing = _width(_records(sample, candidate, whole=whole), candidate)
            if width > 1:
                scored.append((agreeing, width, -DELIMITERS.index(candidate), candidate))
        delimiter = max(scored)[-1] if scored else DELIMITERS[0]
    records = _records(sample, delimiter, whole=whole)
    mark = re.escape(delimiter.encode())
    quoted = re.compile(rb'"(?:[^"]|"")*+"(?:' + mark + rb'"(?:[^"]|"")*+")*+\s*')
    return Shape(
        delimiter,
        width=_width(records, delimiter)[0],
        quotes_everything=bool(records) and all(quoted.fullmatch(record) for record in records),
    )


def cells(record: bytes, delimiter: str) -> list[str]:
    """One record cut into cells, with the bounds' rules of quoting; what can't be decoded is replaced."""
    text = io.StringIO(record.decode("utf-8", "replace"), newline="")
    return next(csv.reader(text, delimiter=delimiter), [])


def _records(sample: bytes, delimiter: str, *, whole: bool) -> list[bytes]:
    bounds = find(sample, delimiter.encode(), final=whole)
    return [sample[start:end] for start, end in zip(bounds.starts, bounds.ends, strict=True)][:_SAMPLE_ROWS]


def _width(records: list[bytes], delimiter: str) -> tuple[int, int]:
    """The usual number of cells in a row, and how many rows have it."""
    counts = Counter(len(cells(record, delimiter)) for record in records)
    if not counts:
        return 0, 0
    width, agreeing = max(counts.items(), key=lambda item: (item[1], item[0]))
    return width, agreeing
