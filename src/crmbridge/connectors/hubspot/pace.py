"""How fast calls may leave: token buckets for the portal, which follow what HubSpot says of its limits.

developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines: 100 to 250 calls in any 10 seconds,
and 5 searches a second for all integrations of a portal together.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

SLOWEST: Final = (100, 10.0)
"""Calls and seconds of the smallest edition: the pace until HubSpot has said another."""
SEARCHES: Final = 4.0
"""A second. One of HubSpot's five is left to the others."""
BURST: Final = 0.02
"""Share of a window's calls that may leave at once. In any window leave at most this and what the rate gives,
which is the limit together."""


class Bucket:
    """A token bucket. `take` waits for its turn; turns are given in order, whoever asks."""

    def __init__(
        self, rate: float, burst: float, *, now: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self._now, self._sleep = now, sleep
        self._lock = threading.Lock()
        self._rate, self._burst, self._tokens = rate, burst, burst
        self._at = now()

    def take(self) -> None:
        with self._lock:
            self._refill()
            self._tokens -= 1
            wait = -self._tokens / self._rate - min(self._now() - self._at, 0)
        if wait > 0:
            self._sleep(wait)

    def pause(self, seconds: float) -> None:
        """Let nothing leave for so long."""
        with self._lock:
            self._refill()
            self._at = max(self._at, self._now() + seconds)
            self._tokens = min(self._tokens, 0.0)

    def limit(self, calls: int, seconds: float) -> None:
        """Keep to so many calls in any window of so many seconds."""
        with self._lock:
            self._refill()
            self._burst = max(1.0, BURST * calls)
            self._rate = max(calls - self._burst, 1.0) / seconds
            self._tokens = min(self._tokens, self._burst)

    def left(self, calls: int) -> None:
        """No more than so many may leave at once, says HubSpot: somebody else uses the portal, too."""
        with self._lock:
            self._refill()
            self._tokens = min(self._tokens, float(calls))

    def _refill(self) -> None:
        now = self._now()
        if now > self._at:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
            self._at = now


class Pace:
    """The buckets of one portal: all calls, and searches."""

    def __init__(
        self, *, now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.calls = Bucket(1.0, 1.0, now=now, sleep=sleep)
        self.calls.limit(*SLOWEST)
        self.searches = Bucket(SEARCHES, 1.0, now=now, sleep=sleep)
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
        if most and interval and (most, interval / 1000) != self._limit:
            self._limit = most, interval / 1000
            self.calls.limit(*self._limit)
        if left is not None:
            self.calls.left(left)


def number(headers: Mapping[str, str], name: str) -> int | None:
    """A header's whole number, or None."""
    text = headers.get(name) or ""
    return int(text) if text.isascii() and text.isdigit() else None
