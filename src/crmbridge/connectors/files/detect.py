"""How a text file is written: its encoding and its delimiter, where the settings do not say."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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
_OTHER_ALPHABETS: Final = ("cp1251", "cp1253", "cp1255", "cp1256", "cp932", "gb18030", "big5", "euc_kr")
_NOT_LATIN: Final = 0.6
"""Share of bytes beyond ASCII, among the words with any, above which the alphabet is not Latin."""
_WORD_BEYOND_ASCII: Final = re.compile(rb"[A-Za-z]*+[\x80-\xff][A-Za-z\x80-\xff]*+")
_SYMBOL_IN_WORD: Final = re.compile(r"[^\W\d_][^\w\s'’`´·-][^\W\d_]|[^\W\d_][¹²³ª]")
_ESCAPED: Final = re.compile("[\udc80-\udcff]")
_BEYOND_ASCII: Final = re.compile(rb"[^\r\n]*[\x80-\xff][^\r\n]*")
SEPARATOR_LINE: Final = re.compile(rb"sep=(.)(?:\r\n|\n|\r)", re.IGNORECASE)
"""Excel's own way to say the delimiter: a first line `sep=;`."""


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedIOBase]:
    """The file's bytes, unpacked where it is a `.gz`."""
    if path.name.lower().endswith(".gz"):
        with gzip.open(path, "rb") as packed:
            yield packed
    else:
        with path.open("rb") as plain:
            yield plain


def encoding(path: Path) -> str:
    """The encoding of a file: by its byte order mark, UTF-8 where that fits, else the likeliest legacy one.

    A few bad bytes in a file that is otherwise UTF-8, with letters beyond ASCII to prove it, do not make it
    another encoding. Looks at the whole file, for the first umlaut may stand in the last row.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    start = True
    try:
        for chunk in _readable(path):
            marked = next((name for mark, name in _BOMS if start and chunk.startswith(mark)), None)
            if marked is not None:
                return marked
            decoder.decode(chunk)
            start = False
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return _not_quite_utf8(path)
    return "utf-8"


def _not_quite_utf8(path: Path) -> str:
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    letters = bad = 0
    sample = b""
    for chunk in _readable(path):
        text = decoder.decode(chunk)
        if text.isascii():
            continue
        wrong = len(_ESCAPED.findall(text))
        bad += wrong
        letters += len(text) - len(text.encode("ascii", "ignore")) - wrong
        if wrong and len(sample) < SAMPLE_BYTES:
            sample += b"\n".join(match[0] for match in _BEYOND_ASCII.finditer(chunk))[:SAMPLE_BYTES]
    if bad <= letters:
        return "utf-8"
    return _legacy(sample)


def _legacy(sample: bytes) -> str:
    """The likeliest of the encodings of old, from lines with letters beyond ASCII.

    Statistics tell alphabets apart, but take one Latin page for the other in lists of names. There a symbol
    within a word (`Wroc³aw`) gives Central European away; everything else is read as Western European.
    """
    words = b" ".join(dict.fromkeys(_WORD_BEYOND_ASCII.findall(sample)))
    beyond = sum(code >= 0x80 for code in words)
    if beyond > _NOT_LATIN * len(words.replace(b" ", b"")):
        best = charset_normalizer.from_bytes(words, cp_isolation=list(_OTHER_ALPHABETS)).best()
        if best is not None:
            return best.encoding
    return "cp1250" if _SYMBOL_IN_WORD.search(words.decode("cp1252", "replace")) else "cp1252"


def _readable(path: Path) -> Iterator[bytes]:
    """What can be read of a file; of a damaged packed one its beginning, which says enough for a guess."""
    with opened(path) as stream:
        try:
            while chunk := stream.read1(CHUNK_BYTES):
                yield chunk
        except (EOFError, gzip.BadGzipFile, zlib.error):
            return


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
