"""How fast calls may leave: windows that hold a portal's limits, and follow what HubSpot says of them.

developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines: 100 to 250 calls in any 10 seconds,
and 5 searches a second for all integrations of a portal together.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

SLOWEST: Final = (100, 10.0)
"""Calls and seconds of the smallest edition: the pace until HubSpot has said another."""
SEARCHES: Final = (4, 1.0)
"""One of HubSpot's five is left to the others."""
KEPT: Final = 0.98
"""Share of a limit that is used, in windows of WIDER times its length: calls do not arrive as evenly as they
leave.
"""
WIDER: Final = 1.01


class Window:
    """So many calls in any window of so many seconds. `take` waits for its turn; turns are given in order,
    whoever asks, and what was not used while we were busy may follow at once.
    """

    def __init__(
        self, calls: int, seconds: float, *, now: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self._now, self._sleep = now, sleep
        self._lock = threading.Lock()
        self._calls, self._seconds = calls, seconds
        self._turns: deque[float] = deque()
        self._paused = now()

    def take(self) -> None:
        with self._lock:
            now = self._now()
            self._forget(now)
            turn = max(now, self._paused)
            if len(self._turns) >= self._calls:
                turn = max(turn, self._turns[-self._calls] + self._seconds)
            self._turns.append(turn)
        if turn > now:
            self._sleep(turn - now)

    def pause(self, seconds: float) -> None:
        """Let nothing leave for so long."""
        with self._lock:
            self._paused = max(self._paused, self._now() + seconds)

    def limit(self, calls: int, seconds: float) -> None:
        """Keep to another limit from now on."""
        with self._lock:
            self._calls, self._seconds = calls, seconds

    def left(self, calls: int) -> None:
        """Only so many are left, says HubSpot: where we count more, somebody else has used the others."""
        with self._lock:
            now = self._now()
            self._forget(now)
            last = max(now, self._turns[-1]) if self._turns else now
            self._turns.extend([last] * max(self._calls - len(self._turns) - calls, 0))

    def _forget(self, now: float) -> None:
        while self._turns and self._turns[0] <= now - self._seconds:
            self._turns.popleft()


class Pace:
    """The limits of one portal: all calls, and searches."""

    def __init__(
        self, *, now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.calls = Window(*_kept(*SLOWEST), now=now, sleep=sleep)
        self.searches = Window(*SEARCHES, now=now, sleep=sleep)
        self._limit: tuple[int, float] = SLOWEST

    def take(self, *, search: bool) -> None:
        """Wait until a call may leave."""
        if search:
            self.searches.take()
        self.calls.take()

    def learn(self, headers: Mapping[str, str]) -> None:
        """Follow the answer's headers; searches' answers have none."""
        most, left = (number(headers, f"X-HubSpot-RateLimit-{name}") for name in ("Max", "Remaining"))
        interval = number(headers, "X-HubSpot-RateLimit-Interval-Milliseconds")
        seconds = interval / 1000 if interval else SLOWEST[1]
        if most and (most, seconds) != self._limit:
            self._limit = most, seconds
            self.calls.limit(*_kept(*self._limit))
        if left is not None:
            self.calls.left(left)


def _kept(calls: int, seconds: float) -> tuple[int, float]:
    return max(int(KEPT * calls), 1), WIDER * seconds


def number(headers: Mapping[str, str], name: str) -> int | None:
    """A header's whole number, or None."""
    text = headers.get(name) or ""
    return int(text) if text.isascii() and text.isdigit() else None
