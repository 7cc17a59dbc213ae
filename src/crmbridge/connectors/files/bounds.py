"""Where the records of a CSV text begin and end, and on which line: embedded newlines counted right.

The rules of quoting are those of pyarrow's parser (and of Python's `csv`): a quote opens a quoted part only
at the start of a cell, two quotes inside it are one, what follows the closing quote up to the delimiter is
taken as it stands. A quote that is never closed spoils its own line only; reading goes on with the next line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.int64]
_QUOTE: Final = ord('"')
_RETURN: Final = ord("\r")
_NEWLINE: Final = ord("\n")
_NEWLINE_PATTERN: Final = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True)
class Bounds:
    """The complete records at the start of a text.

    Record k is `text[starts[k]:ends[k]]`, its newline included, and begins on line `lines[k]` (the text's
    first line is 0). `unclosed` lists the records with a quote that is never closed. `consumed` bytes hold
    complete records and blank lines, and `newlines` line ends; what follows is the beginning of a record.
    """

    starts: Positions
    ends: Positions
    lines: Positions
    unclosed: tuple[int, ...]
    consumed: int
    newlines: int


def find(text: bytes, delimiter: bytes, *, final: bool, hopeless: bool = False) -> Bounds:
    """The bounds of the complete records in `text`, which must begin at a record's start.

    `final` says that nothing follows: then the last record is complete without a newline, and a quote still
    open is never closed. `hopeless` says that the quote open in the first record is not looked after any
    longer.
    """
    codes = np.frombuffer(text, np.uint8)
    newlines = np.flatnonzero(codes == _NEWLINE)
    if b"\r" in text:
        returns = np.flatnonzero(codes == _RETURN)
        follows = np.append(codes[1:], 0 if final else _NEWLINE)[returns]
        lone = returns[follows != _NEWLINE]
        if len(lone):
            newlines = np.sort(np.concatenate([newlines, lone]))
    quotes = np.flatnonzero(codes == _QUOTE) if b'"' in text else np.zeros(0, np.int64)
    if not len(quotes):
        return _bounds(text, codes, newlines, newlines, (), final=final)
    if ((final or hopeless) and len(quotes) % 2) or not _plain(codes, quotes, delimiter):
        outside, unclosed = _walk(text, newlines, delimiter, final=final, hopeless=hopeless)
    else:
        outside, unclosed = newlines[np.searchsorted(quotes, newlines) % 2 == 0], []
    return _bounds(text, codes, newlines, outside, unclosed, final=final)


def _plain(codes: npt.NDArray[np.uint8], quotes: Positions, delimiter: bytes) -> bool:
    """Whether every quote that opens stands at a cell's start and every one that closes at a cell's end.

    Then the quotes' parity alone tells inside from outside (`""` inside a quoted cell closes and opens
    again).
    """
    border = np.zeros(256, bool)
    border[[_QUOTE, _RETURN, _NEWLINE, *delimiter]] = True
    opening, closing = quotes[0::2], quotes[1::2]
    before = codes[np.maximum(opening - 1, 0)]
    after = codes[np.minimum(closing + 1, len(codes) - 1)]
    return bool(border[before].all() and border[after].all())


@cache
def _patterns(delimiter: bytes) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    mark = re.escape(delimiter)
    rest = rb"[^" + mark + rb"\r\n]*+"
    cell = rb'(?:"(?:[^"]++|"")*+"' + rest + rb'|(?!")' + rest + rb")"
    record = cell + rb"(?:" + mark + cell + rb")*+"
    return re.compile(record + rb"(?:\r\n|\n|\r|\Z)"), re.compile(rb"(?:" + cell + mark + rb')*+"')


def _walk(
    text: bytes, newlines: Positions, delimiter: bytes, *, final: bool, hopeless: bool
) -> tuple[Positions, list[int]]:
    """The last byte of each record, cell by cell: for texts with quotes in unusual places.

    Also the positions among them of records with an unclosed quote.
    """
    record, opened = _patterns(delimiter)
    ends: list[int] = []
    unclosed: list[int] = []
    position = 0
    while position < len(text):
        whole = record.match(text, position)
        if whole is not None:
            position = whole.end()
        elif not final and not (hopeless and position == 0):
            break
        else:
            quote = opened.match(text, position)
            assert quote is not None  # noqa: S101 - a record fails only at a quote that opens and never closes
            newline = _NEWLINE_PATTERN.search(text, quote.end())
            position = newline.end() if newline else len(text)
            unclosed.append(len(ends))
        ends.append(position - 1)
    if not final and ends and ends[-1] == len(text) - 1 and (not len(newlines) or newlines[-1] != ends[-1]):
        # The last record ended with the text, not with a newline: more of it may follow.
        ends.pop()
    return np.array(ends, np.int64), unclosed


def _bounds(
    text: bytes,
    codes: npt.NDArray[np.uint8],
    newlines: Positions,
    last_bytes: Positions,
    unclosed: list[int] | tuple[()],
    *,
    final: bool,
) -> Bounds:
    ends = last_bytes + 1
    if final and len(text) > (ends[-1] if len(ends) else 0):
        ends = np.append(ends, len(text))
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64) if len(ends) else np.zeros(0, np.int64)
    width = ends - starts
    first = codes[starts] if len(starts) else codes[:0]
    blank = (width == 1) & ((first == _NEWLINE) | (first == _RETURN)) | (width == 2) & (first == _RETURN)
    if len(starts):
        # "\r" and one more byte is a blank line only where that byte ends it; a lone "\r" is a line of its
        # own.
        second = codes[np.minimum(starts + 1, len(codes) - 1)]
        blank &= (width == 1) | (second == _NEWLINE)
    lines = np.searchsorted(newlines, starts)
    kept = ~blank
    consumed = int(ends[-1]) if len(ends) else 0
    numbering = np.cumsum(kept) - 1
    return Bounds(
        starts=starts[kept],
        ends=ends[kept],
        lines=lines[kept],
        unclosed=tuple(int(numbering[k]) for k in unclosed),
        consumed=consumed,
        newlines=int(np.searchsorted(newlines, consumed)),
    )
