"""Upkeep after a run: few files in the lake, and of what is old only what the settings keep.

It comes after the run's end, so that a resumed run leaves the same files; what goes wrong here is said in the
log and made good after the next run.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from crmbridge.errors import BusyError, StoreError
from crmbridge.sync.session import Session

EVERY: Final = timedelta(days=7)
"""Old rows and versions are looked for this often: finding them reads a good part of the lake."""


def keep_tidy(session: Session, moment: datetime) -> None:
    """Merge small parts; once a week thin old versions and remove the rows of old plans."""
    try:
        _thin(session, moment)
        for name in _objects(session):
            session.lake.compact(session.name, name)
    except (StoreError, BusyError) as error:
        session.log("upkeep put off until after the next run", level="warning", error=str(error))


def _thin(session: Session, moment: datetime) -> None:
    ledger, name, policy = session.ledger, session.name, session.retention
    done = ledger.upkeep_done(name)
    if ledger.legal_hold or (done is not None and moment - done < EVERY):
        return
    versions = sum(session.lake.thin(name, each, policy.rules(each, moment)) for each in _objects(session))
    before = session.now() - timedelta(days=policy.keep_rows)
    plans, aside = ledger.empty_plans(name, before), ledger.drop_set_aside(name, before)
    ledger.set_upkeep_done(name, moment)
    if versions or plans or aside:
        session.log("old rows removed", versions=versions, plans=plans, set_aside=aside)


def _objects(session: Session) -> list[str]:
    return sorted({part.object for part in session.ledger.parts(session.name)})
