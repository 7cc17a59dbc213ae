"""How a signal reaches the scheduler's process."""

from __future__ import annotations

import os
import select


class Ending:
    """Whether the process shall end, and a bell that wakes who waits.

    A signal may come while this very thread holds any lock, of an event or of the log. So what its handler
    calls, `ask` and `ring`, takes none: it sets a flag and writes to a pipe.
    """

    def __init__(self) -> None:
        self.asked = False
        self._read, self._write = os.pipe()
        for end in (self._read, self._write):
            os.set_blocking(end, False)

    def ask(self) -> None:
        """Ask for the end."""
        self.asked = True
        self.ring()

    def ring(self) -> None:
        """Wake who waits."""
        try:
            os.write(self._write, b"!")
        except BlockingIOError:
            return  # the pipe is full: who waits is woken already

    def wait(self, seconds: float) -> None:
        """Wait for the bell, or so long."""
        ready, _, _ = select.select([self._read], [], [], seconds)
        if ready:
            os.read(self._read, 4096)

    def close(self) -> None:
        """Give the pipe back."""
        os.close(self._read)
        os.close(self._write)
