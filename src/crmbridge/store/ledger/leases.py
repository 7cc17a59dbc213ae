"""Leases: who may work on something now. A holder that died gives way, and can't write afterwards."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from os import getpid, readlink
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from crmbridge.errors import BusyError, StoreError
from crmbridge.store.ledger import tables
from crmbridge.store.ledger.database import Database, insert_new

HEARTBEAT_SECONDS: Final = 10.0
SILENCE: Final = timedelta(seconds=60)
"""A holder whose process can't be looked at from here counts as dead after this long without a heartbeat."""


_held_here: set[tuple[str, int]] = set()
"""Names and tokens of the leases that this process holds, of whatever ledger."""


class Leases(Database):
    """The ledger's leases."""

    @contextmanager
    def lease(self, name: str) -> Iterator[int]:
        """Hold the lease for as long as the block lasts; yields the fencing token, larger with every holder.

        Raises BusyError while somebody alive holds it, this process included. While the lease
        `connection/NAME` is held, every write of this ledger that concerns the connection checks that it
        still is.
        """
        token = self._acquire(name)
        over = threading.Event()
        heart = threading.Thread(
            target=self._renew_until, args=(name, token, over), name=f"lease {name}", daemon=True
        )
        self._held[name] = token
        heart.start()
        try:
            yield token
        finally:
            over.set()
            heart.join()
            _held_here.discard((name, token))
            if self._held.get(name) == token:
                del self._held[name]
            self._release(name, token)

    def assert_held(self, name: str, token: int) -> None:
        """Raise BusyError unless the lease is still held with this token."""
        with self._read() as db:
            self._check_token(db, name, token)

    def fencing_token(self, connection: str) -> int | None:
        """The token of the connection's lease where it is held through this ledger; None where it is not."""
        return self._held.get(f"connection/{connection}")

    def is_held(self, name: str) -> bool:
        """Whether somebody alive holds the lease, as far as can be known from here."""
        leases = tables.leases
        with self._read() as db:
            row = db.execute(sa.select(leases).where(leases.c.name == name)).one_or_none()
        return row is not None and row.host is not None and _is_alive(row, self.clock())

    def _acquire(self, name: str) -> int:
        leases = tables.leases
        now = self.clock()
        with self._write() as db:
            db.execute(insert_new(db, leases).values(name=name, token=0).on_conflict_do_nothing())
            row = db.execute(sa.select(leases).where(leases.c.name == name).with_for_update()).one()
            if row.host is not None and _is_alive(row, now):
                raise BusyError(
                    f"{name} is being worked on by process {row.pid} on {row.host} since "
                    f"{row.since:%Y-%m-%d %H:%M:%S} UTC.",
                    remedy="Wait until it is done.",
                )
            token = int(row.token) + 1
            db.execute(
                sa.update(leases)
                .where(leases.c.name == name)
                .values(
                    token=token,
                    host=socket.gethostname(),
                    machine=_machine(),
                    pid=getpid(),
                    process_start=_process_start(getpid()),
                    since=now,
                    renewed_at=now,
                )
            )
            _held_here.add((name, token))
        return token

    def _renew_until(self, name: str, token: int, over: threading.Event) -> None:
        while not over.wait(HEARTBEAT_SECONDS):
            try:
                if not self._renew(name, token):
                    return
            except StoreError:
                # The next beat tries again. If none gets through, the lease goes to another after a while,
                # and the fence stops this process's own writes.
                continue

    def _renew(self, name: str, token: int) -> bool:
        leases = tables.leases
        with self._write() as db:
            renewed = db.execute(
                sa.update(leases)
                .where(leases.c.name == name, leases.c.token == token)
                .values(renewed_at=self.clock())
            )
            return renewed.rowcount == 1

    def _release(self, name: str, token: int) -> None:
        leases = tables.leases
        nobody = dict.fromkeys(("host", "machine", "pid", "process_start", "since", "renewed_at"))
        with self._write() as db:
            db.execute(
                sa.update(leases).where(leases.c.name == name, leases.c.token == token).values(**nobody)
            )


def _is_alive(holder: Any, now: datetime) -> bool:
    if holder.machine is not None and holder.machine == _machine():
        if holder.process_start is None or _process_start(holder.pid) != holder.process_start:
            return False
        # Of this very process it may be left over: on a full disk a lease can't be given back.
        return holder.pid != getpid() or (holder.name, holder.token) in _held_here
    renewed_at: datetime = holder.renewed_at
    return now - renewed_at < SILENCE


def _machine() -> str | None:
    """Where a process number means the same process: this boot of the kernel, this space of process numbers.

    None where the system does not tell (no /proc); then heartbeats alone decide.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _process_start(pid: int) -> str | None:
    """When the process began, in the kernel's ticks, which tells a number used again; None if it is gone."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = status.rpartition(")")[2].split()  # the name before it may hold anything
    return None if state in "ZX" else fields[18]
