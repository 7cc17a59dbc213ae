"""How far a run is, on a terminal."""

from __future__ import annotations

import time
from typing import Final, Protocol, TextIO

_SECONDS: Final = 0.1
"""The line renews itself at most this often."""
_CLEAR: Final = "\r\x1b[K"


class Progress(Protocol):
    """Told how far a step is (`total` may be None), and when there is nothing more to come."""

    def __call__(self, step: str, done: int, total: int | None) -> None: ...

    def close(self) -> None: ...


class TerminalProgress:
    """One line that renews itself and leaves nothing behind; nothing at all where nobody looks on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._silent = stream, not stream.isatty()
        self._last, self._shown = 0.0, False

    def __call__(self, step: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if self._silent or (now - self._last < _SECONDS and done != total):
            return
        self._last = now
        of = f" of {total:,}" if total else ""
        if done == total:
            self.close()
        else:
            self._write(f"{step}: {done:,}{of}")

    def close(self) -> None:
        """Clear the line."""
        if self._shown:
            self._write("")

    def _write(self, line: str) -> None:
        self._stream.write(_CLEAR + line)
        self._stream.flush()
        self._shown = bool(line)
