"""The scheduler's process: every connection on its schedule, looks in between, a clean stop.

What is due is decided by the ledger (`due.py`), not by this process: timers only say when to ask. So it does
not matter how many processes there are, which of them is quicker, or what one of them was doing when it was
killed: a slot is taken up by whoever holds the connection's lease, once.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from crmbridge.config import Settings
from crmbridge.errors import BusyError, CRMBridgeError, StoppedError
from crmbridge.schedule.ending import Ending
from crmbridge.store.ledger import Run
from crmbridge.timetable import Timetable

LOOK_SECONDS: Final = 15.0
"""So often it looks whether something is due that no timer has said: after a crash, a jump of the clock."""
LOOKS_MISSED: Final = 4
JUMP_SECONDS: Final = 5.0
JITTER_SHARE: Final = 0.1
"""So much of a period later than its slot a run is begun at most."""


class Installation(Protocol):
    """What the service drives: a `Bridge`."""

    settings: Settings

    def run_due(self, name: str) -> Run | None:
        """Make the run that is due, if any."""

    def is_due(self, name: str) -> bool:
        """Whether a run is due."""

    def look(self) -> None:
        """Look whether all is well, and tell people."""


class Slots(BaseTrigger):  # type: ignore[misc] # APScheduler has no types
    """A timetable as APScheduler's trigger, each slot a little later by chance."""

    def __init__(self, timetable: Timetable, jitter_seconds: float, draw: Callable[[], float]) -> None:
        self._timetable, self._jitter, self._draw = timetable, jitter_seconds, draw

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        """The next slot's time, later than both."""
        slot = self._timetable.after(max(previous, now) if previous else now)
        most = min(self._jitter, self._timetable.period(slot).total_seconds() * JITTER_SHARE)
        return slot + timedelta(seconds=most * self._draw())


class Service:
    """Runs an installation's connections on schedule, in threads: `start` it, then `watch` until it ends."""

    def __init__(
        self,
        installation: Installation,
        *,
        ending: Ending,
        log: Callable[..., None],
        clock: Callable[[], datetime],
        elapsed: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self.installation = installation
        self._log, self._clock, self._elapsed, self._draw = log, clock, elapsed, draw
        self._look_seconds = look_seconds
        self._ending = ending
        self._reload: Callable[[], None] | None = None
        self._lock = threading.Lock()
        self._running: set[str] = set()
        self._offset = 0.0
        self.looked_at: float | None = None
        """When it last looked and could, in elapsed seconds."""
        workers = installation.settings.serve.workers
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(workers)},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )

    @property
    def stopping(self) -> bool:
        """Whether runs should stop at their next checkpoint."""
        return self._ending.asked

    @property
    def running(self) -> list[str]:
        """The connections whose runs are under way here."""
        with self._lock:
            return sorted(self._running)

    @property
    def is_alive(self) -> bool:
        """Whether it has looked lately, and could."""
        at = self.looked_at
        return at is not None and self._elapsed() - at < LOOKS_MISSED * self._look_seconds

    def start(self) -> None:
        """Set the timers; runs begin in threads of their own."""
        _tell_errors_of_apscheduler(self._log)
        self._offset = self._clock().timestamp() - self._elapsed()
        self._set_timers()
        self._scheduler.start()
        self._log("serving", connections=len(self._scheduler.get_jobs()))

    def watch(self) -> None:
        """Look, again and again, until `end`; then wait for the runs under way to reach their checkpoint."""
        while not self.stopping:
            if self._reload is not None:
                reload, self._reload = self._reload, None
                reload()
                self._set_timers()
            self.look()
            self._ending.wait(self._look_seconds)
        self._log("stopping at the next checkpoint; the same signal once more ends it at once")
        self._scheduler.shutdown(wait=True)
        self._log("stopped")

    def look(self) -> None:
        """See what is due that no timer has said, what the clock did, and whether all is well."""
        self._mind_the_clock()
        try:
            for name in self.installation.settings.names:
                idle = self._scheduler.get_job(name) is not None and name not in self.running
                if idle and self.installation.is_due(name):
                    self._scheduler.modify_job(name, next_run_time=datetime.now(UTC))
            self.installation.look()
            self.looked_at = self._elapsed()
        except CRMBridgeError as error:
            self._log("could not look", level="warning", error=str(error))

    def end(self) -> None:
        """Stop: no run begins any more, and those under way stop at their next checkpoint.

        A signal handler may call this, and `reload`.
        """
        self._ending.ask()

    def reload(self, change: Callable[[], None]) -> None:
        """Have `change` bring in new settings between two looks; runs under way end by the old ones."""
        self._reload = change
        self._ending.ring()

    def run(self, name: str) -> None:
        """Make the connection's runs that are due. What one raises is in the ledger, and told by alerts."""
        if self.stopping:
            return
        with self._lock:
            self._running.add(name)
        try:
            while not self.stopping and self._make_due(name):
                pass
        except BusyError as error:
            self._log("another process is at it", connection=name, error=str(error))
        except StoppedError as error:
            self._log("stopped at a checkpoint", connection=name, error=str(error))
        except CRMBridgeError as error:
            self._log("run failed", level="warning", connection=name, error=str(error))
        finally:
            with self._lock:
                self._running.discard(name)

    def _make_due(self, name: str) -> bool:
        known = name in self.installation.settings.names  # it may have been taken out meanwhile
        return known and self.installation.run_due(name) is not None

    def _set_timers(self) -> None:
        """One timer for each connection with a schedule, from now on."""
        settings = self.installation.settings
        wanted = {name: found for name in settings.names if (found := settings.common(name).timetable())}
        for job in self._scheduler.get_jobs():
            if job.id not in wanted:
                job.remove()
        for name, timetable in wanted.items():
            trigger = Slots(timetable, settings.serve.jitter_seconds, self._draw)
            self._scheduler.add_job(self.run, trigger, args=[name], id=name, replace_existing=True)

    def _mind_the_clock(self) -> None:
        """Timers were set by the clock: where it has jumped, they are set anew."""
        offset = self._clock().timestamp() - self._elapsed()
        jumped = offset - self._offset
        if abs(jumped) > JUMP_SECONDS:
            self._offset = offset
            self._log("clock has jumped", level="warning", seconds=round(jumped, 1))
            self._set_timers()


class _Forward(logging.Handler):
    """Brings another library's errors into our log: its own lines would break a log of JSON."""

    def __init__(self, log: Callable[..., None]) -> None:
        super().__init__(logging.ERROR)  # that a run takes longer than its period is no news
        self._say = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._say("the scheduler met an error", level="warning", error=repr(error or record.getMessage()))


def _tell_errors_of_apscheduler(log: Callable[..., None]) -> None:
    logger = logging.getLogger("apscheduler")
    logger.handlers, logger.propagate = [_Forward(log)], False
