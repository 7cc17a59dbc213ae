"""One record's score: its interval, what each input adds, whether that adds up, and what it was before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from crmbridge.errors import NotFoundError
from crmbridge.metrics.trend import TREND_DAYS
from crmbridge.model.columns import ABSENT, ATTRIBUTE_PREFIX, untag
from crmbridge.model.columns import schema as own_columns
from crmbridge.model.records import ObjectName, Scalar
from crmbridge.store.lake import Lake
from crmbridge.store.ledger import Ledger, StoredModel

SCORED: Final[tuple[ObjectName, ...]] = ("lead", "deal", "account")
EXACT: Final = 1e-9
"""Contributions add up to the log-odds within this."""
_CONTRIBUTION: Final = "contribution."


@dataclass(frozen=True)
class Contribution:
    """What one input adds to the log-odds. `odds` is the factor by which it multiplies the odds, e^log_odds.

    `value` is what the record holds, where the input is one of its own fields; None for what is counted from
    elsewhere.
    """

    input: str
    label: str
    value: Any
    log_odds: float
    odds: float


@dataclass(frozen=True)
class Scored:
    """The score as it was from a moment on."""

    since: datetime
    score: float | None
    grade: str | None


@dataclass(frozen=True)
class WhatIf:
    """The change of one input that would raise the score most, of those a person can make, in words (see
    docs/metrics.md); the score as it is and as it would be, in percent.
    """

    input: str
    label: str
    change: str
    before: float
    after: float


@dataclass(frozen=True)
class Explanation:
    """Everything about one record's score. `score`, `base` and the interval are in percent.

    `base` is the chance of a record with average inputs; base_log_odds + the contributions = log_odds, and
    `difference` is by how much they miss it (`adds_up`: by less than 1e-9). Without a score, `why_not` says
    why. `month_ago` is the score that `score_trend` compares with, `what_if` the change that would raise it
    most. `other` holds what further metrics say of the record.
    """

    connection: str
    object: ObjectName
    id: str
    name: str | None
    moment: datetime
    score: float | None
    score_low: float | None
    score_high: float | None
    grade: str | None
    score_trend: str | None
    month_ago: Scored | None
    model: str | None
    provisional: bool
    base: float | None
    base_log_odds: float | None
    log_odds: float | None
    contributions: tuple[Contribution, ...]
    difference: float | None
    adds_up: bool | None
    reasons_up: str | None
    reasons_down: str | None
    next_action: str | None
    what_if: WhatIf | None
    why_not: str | None
    history: tuple[Scored, ...]
    other: Mapping[str, Any]
    values: Mapping[str, Any]


def explain(
    ledger: Ledger, lake: Lake, connection: str, object_name: ObjectName, id: str, *, moment: datetime
) -> Explanation:
    """Explain one record's score as of `moment`. Raises NotFoundError where there is no such record."""
    record = _record(lake, connection, object_name, id, moment)
    versions = [
        version
        for version in lake.history(connection, f"result/need/{object_name}", id)
        if version["valid_from"] <= moment
    ]
    result = versions[-1] if versions and not versions[-1]["deleted"] else {}
    stored = ledger.published(connection, "need", object_name) if object_name in SCORED else None
    base, log_odds = result.get("base_logit"), result.get("logit")
    contributions = _contributions(result, record, stored)
    difference = None
    if base is not None and log_odds is not None:
        difference = log_odds - base - math.fsum(each.log_odds for each in contributions)
    score = result.get("score")
    values = _shown(object_name, record)
    other = _other(ledger, lake, connection, object_name, id, moment)
    return Explanation(
        connection=connection,
        object=object_name,
        id=id,
        name=_name(record),
        moment=moment,
        score=score,
        score_low=result.get("score_low"),
        score_high=result.get("score_high"),
        grade=result.get("grade"),
        score_trend=result.get("score_trend"),
        month_ago=_as_of(versions, moment - timedelta(days=TREND_DAYS)),
        model=stored.model.name if stored else None,
        provisional=stored.model.provisional if stored else False,
        base=None if base is None else 100 / (1 + math.exp(-base)),
        base_log_odds=base,
        log_odds=log_odds,
        contributions=contributions,
        difference=difference,
        adds_up=None if difference is None else abs(difference) <= EXACT,
        reasons_up=result.get("reasons_up") if score is not None else None,
        reasons_down=result.get("reasons_down") if score is not None else None,
        next_action=other.pop("next_action", None),
        what_if=_what_if(result, stored),
        why_not=None if score is not None else _why_not(connection, object_name, result, stored),
        history=tuple(_scored(version) for version in versions if not version["deleted"]),
        other=other,
        values=values,
    )


def _record(
    lake: Lake, connection: str, object_name: ObjectName, id: str, moment: datetime
) -> Mapping[str, Any]:
    """The record's version as of the moment."""
    known = [row for row in lake.history(connection, object_name, id) if row["valid_from"] <= moment]
    if not known:
        raise NotFoundError(
            f"there is no {object_name} {id}.",
            connection=connection,
            remedy=f"Look the id up in the CRM; what is new there is read by `crmbridge sync {connection}`.",
        )
    if known[-1]["deleted"]:
        gone = known[-1]["valid_from"]
        raise NotFoundError(
            f"the {object_name} {id} was deleted in the CRM.",
            connection=connection,
            remedy=f"That was by {gone:%Y-%m-%d %H:%M} UTC; --at shows it as it was before.",
        )
    return known[-1]


def _contributions(
    result: Mapping[str, Any], record: Mapping[str, Any], stored: StoredModel | None
) -> tuple[Contribution, ...]:
    """Every input's contribution, the strongest first."""
    labels = _labels(stored)
    found = []
    for column, log_odds in result.items():
        if column.startswith(_CONTRIBUTION) and log_odds is not None:
            name = column.removeprefix(_CONTRIBUTION)
            value = untag(record.get(name)) if name.startswith(ATTRIBUTE_PREFIX) else record.get(name)
            found.append(Contribution(name, labels.get(name, name), value, log_odds, math.exp(log_odds)))
    return tuple(sorted(found, key=lambda each: (-abs(each.log_odds), each.input)))


def _labels(stored: StoredModel | None) -> dict[str, str]:
    """What people call each input."""
    inputs: Any = stored.model.card.get("inputs", ()) if stored is not None else ()
    return {row["name"]: row["label"] for row in inputs}


def _what_if(result: Mapping[str, Any], stored: StoredModel | None) -> WhatIf | None:
    name, score = result.get("what_if_input"), result.get("score")
    if name is None or score is None:
        return None
    label = _labels(stored).get(name, name)
    return WhatIf(name, label, result["what_if"], score, result["what_if_score"])


def _scored(version: Mapping[str, Any]) -> Scored:
    return Scored(version["valid_from"], version.get("score"), version.get("grade"))


def _as_of(versions: Sequence[Mapping[str, Any]], moment: datetime) -> Scored | None:
    """The score in force at the moment; None where there was none."""
    known = [version for version in versions if version["valid_from"] <= moment]
    if not known or known[-1]["deleted"] or known[-1].get("score") is None:
        return None
    return _scored(known[-1])


def _why_not(
    connection: str, object_name: ObjectName, result: Mapping[str, Any], stored: StoredModel | None
) -> str:
    if object_name not in SCORED:
        return f"Scores are made for leads, deals and accounts, not for a {object_name}."
    if result.get("reasons_up"):
        return str(result["reasons_up"])
    if stored is None:
        return f"Nothing has been scored yet: run `crmbridge sync {connection}`."
    return f"Only open {object_name}s are scored; this one is closed, or new since the last run."


def _name(record: Mapping[str, Any]) -> str | None:
    parts = [record.get("first_name"), record.get("last_name")]
    full = " ".join(part for part in parts if part)
    return record.get("name") or full or record.get("company") or record.get("subject")


def _shown(object_name: ObjectName, record: Mapping[str, Any]) -> dict[str, Any]:
    """What the CRM showed of the record: its own fields, then the CRM's under their own names."""
    hidden = set((record.get(ABSENT) or "").split(","))
    own = [name for name in own_columns(object_name).names if name != ABSENT and name not in hidden]
    values: dict[str, Any] = {name: record.get(name) for name in own}
    attributes: dict[str, Scalar] = {
        name.removeprefix(ATTRIBUTE_PREFIX): untag(cell)
        for name, cell in record.items()
        if name.startswith(ATTRIBUTE_PREFIX) and cell is not None
    }
    return values | {name: value for name, value in attributes.items() if name not in values}


def _other(
    ledger: Ledger, lake: Lake, connection: str, object_name: ObjectName, id: str, moment: datetime
) -> dict[str, Any]:
    """The record's values of the other metrics."""
    found: dict[str, Any] = {}
    tables = {part.object for part in ledger.parts(connection)}
    for table in sorted(tables):
        kind, _, rest = table.partition("/")
        if kind != "result" or not rest.endswith(f"/{object_name}") or rest.startswith("need/"):
            continue
        versions = [row for row in lake.history(connection, table, id) if row["valid_from"] <= moment]
        if versions and not versions[-1]["deleted"]:
            found |= {
                name: value
                for name, value in versions[-1].items()
                if name not in ("id", "valid_from", "seen_at", "deleted") and value is not None
            }
    return found
