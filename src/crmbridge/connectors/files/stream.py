"""A text file's bytes as UTF-8, whatever they are stored as."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from io import BufferedIOBase
from typing import Final

_MARKED: Final = "crmbridge.marked"
_BOM: Final = codecs.BOM_UTF8
_RUN_OF_BLANKS: Final = re.compile(rb"[ \t]+")
_QUOTED_OR_BLANKS: Final = re.compile(rb'("(?:[^"]|"")*+")|[ \t]+')
_OUTER_TABS: Final = re.compile(rb"(?m)^\t|\t(?=\r?$)")


def _mark(error: UnicodeError) -> tuple[str, int]:
    # A lone surrogate carries the bad byte on: UTF-8 does not allow it, so the row is found later (see
    # `bad_byte`).
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return chr(0xDC00 + error.object[error.start]), error.end


codecs.register_error(_MARKED, _mark)


def bad_byte(text: bytes) -> int | None:
    """The file's first byte that could not be decoded in this part of its stream, None where all could."""
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        marked = (
            text[error.start : error.start + 3].decode("utf-8", "surrogatepass")
            if _is_mark(text, error)
            else ""
        )
        return ord(marked) - 0xDC00 if marked else text[error.start]
    return None


def _is_mark(text: bytes, error: UnicodeDecodeError) -> bool:
    # U+DC00 to U+DCFF in the form that "surrogatepass" gives them.
    return text[error.start : error.start + 2] in (b"\xed\xb0", b"\xed\xb1", b"\xed\xb2", b"\xed\xb3")


class Utf8Stream:
    """Reads a stream as UTF-8, without its byte order mark.

    Bytes that the encoding does not know come through as bytes that are not valid UTF-8 either, so that their
    row is found later and the others are read. With `blanks`, runs of blanks become one tab and those around
    a line go; quoted blanks stay. `at_end` is true once everything was read, `damage` says why where that is
    not the file's own end.
    """

    def __init__(self, stream: BufferedIOBase, encoding: str, *, blanks: bool = False) -> None:
        self.at_end = False
        self.damage: str | None = None
        self._stream, self._blanks = stream, blanks
        self._first = True
        self._line = b""
        self._decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)(_MARKED)

    def read(self, size: int) -> bytes:
        """About the next `size` bytes of the file; none at its end, or where one line of blanks is longer."""
        raw = self._raw(size)
        text = self._transcoded(raw)
        if self._first:
            self._first = False
            text = text.removeprefix(_BOM)
        return self._tabbed(text) if self._blanks else text

    def _raw(self, size: int) -> bytes:
        pieces: list[bytes] = []
        missing = size
        try:
            # `read` would lose what was unpacked before it met the damage; `read1` hands it out first.
            while missing and (piece := self._stream.read1(missing)):
                pieces.append(piece)
                missing -= len(piece)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            self.damage = f"the packed file is damaged here ({error})"
        self.at_end = missing > 0
        return b"".join(pieces)

    def _transcoded(self, raw: bytes) -> bytes:
        if self._decoder is None:
            return raw
        return self._decoder.decode(raw, final=self.at_end).encode("utf-8", "surrogatepass")

    def _tabbed(self, text: bytes) -> bytes:
        text = self._line + text
        cut = len(text) if self.at_end else text.rfind(b"\n") + 1
        text, self._line = text[:cut], text[cut:]
        if b'"' in text:
            text = _QUOTED_OR_BLANKS.sub(lambda match: match[1] or b"\t", text)
        else:
            text = _RUN_OF_BLANKS.sub(b"\t", text)
        return _OUTER_TABS.sub(b"", text)
