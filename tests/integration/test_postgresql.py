"""What only a real PostgreSQL server shows; the rest of the ledger's tests run on both databases."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from crmbridge.errors import StoreError
from crmbridge.store.ledger import Counts, Ledger, PlanRow
from tests.conftest import Clock
from tests.postgresql import Server
from tests.unit.test_ledger_open import open_at_once

MOMENT = datetime(2026, 3, 31, 8, tzinfo=UTC)


def test_processes_may_open_a_new_ledger_at_once(postgresql: Server, clock: Clock) -> None:
    url = postgresql.database()
    open_at_once(url, 4)
    Ledger.open(url, clock=clock).close()


def test_a_lost_server_connection_is_reported_and_the_next_call_works(
    postgresql: Server, clock: Clock
) -> None:
    url = postgresql.new_ledger(clock)
    with Ledger.open(url, clock=clock) as ledger, Ledger.open(url, clock=clock) as other:
        run = ledger.start_run("acme", "pull", MOMENT)

        def rows() -> Iterator[PlanRow]:
            with other._write() as db:
                db.execute(
                    sa.text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                )
            yield from (PlanRow("lead", str(i), {}, {"score": 1.0}, "new") for i in range(100_000))

        with pytest.raises(StoreError, match="database server"):
            ledger.store_plan(run.id, "acme", "write", MOMENT, rows(), status="stopped", guards={})
        assert ledger.plans("acme") == []
        assert ledger.run(run.id) == run


def test_writers_of_one_plan_do_not_lose_each_other_s_rows(postgresql: Server, clock: Clock) -> None:
    url = postgresql.new_ledger(clock)
    with Ledger.open(url, clock=clock) as ledger:
        run = ledger.start_run("acme", "sync", MOMENT)
        rows = [PlanRow("lead", str(i), {}, {"score": float(i)}, "new") for i in range(400)]
        plan = ledger.store_plan(run.id, "acme", "write", MOMENT, rows, status="stopped", guards={})
        ledger.approve(plan.id, "person")

        def write(positions: range) -> None:
            with Ledger.open(url, clock=clock) as own:
                for position in positions:
                    own.begin_attempt(plan.id, [position])
                    own.record(plan.id, [(position, "sent", None, None)])

        threads = [threading.Thread(target=write, args=(range(start, 400, 4),)) for start in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ledger.counts(plan.id) == Counts(400, pending=0, sent=400, same=0, rejected=0, retried=0)


def test_paging_and_counting_a_large_plan_use_the_indexes(postgresql: Server, clock: Clock) -> None:
    with Ledger.open(postgresql.new_ledger(clock), clock=clock) as ledger:
        run = ledger.start_run("acme", "sync", MOMENT)
        rows = (PlanRow("lead", str(i), {}, {"score": float(i)}, "new") for i in range(50_000))
        plan = ledger.store_plan(run.id, "acme", "write", MOMENT, rows, status="approved", guards={})
        assert ledger.counts(plan.id).pending == 50_000
        page = ledger.plan_rows(plan.id, state="pending", after=49_997)
        assert [row.position for row in page] == [49_998, 49_999]
        with ledger._write() as db:
            db.execute(sa.text("ANALYZE plan_rows"))
            query = sa.text(
                "EXPLAIN SELECT * FROM plan_rows "
                "WHERE plan = :plan AND position > 40000 ORDER BY position LIMIT 9"
            )
            explained = "\n".join(db.execute(query, {"plan": plan.id}).scalars())
        assert "Index Scan using pk_plan_rows" in explained


def test_what_the_server_refuses_in_a_bulk_copy_is_reported(postgresql: Server, clock: Clock) -> None:
    with Ledger.open(postgresql.new_ledger(clock), clock=clock) as ledger:
        run = ledger.start_run("acme", "sync", MOMENT)
        rows = [PlanRow("lead", "an id with \0 in it", {}, {"score": 1.0}, "new")]
        with pytest.raises(StoreError, match="can't be used"):
            ledger.store_plan(run.id, "acme", "write", MOMENT, rows, status="stopped", guards={})
        assert ledger.plans("acme") == []
