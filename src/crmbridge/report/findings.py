"""The sentences that matter: what a manager should take away, most important first, made from the data."""

from __future__ import annotations

from crmbridge.report import charts, words
from crmbridge.report.data import EFFICIENCIES, ReportData


def findings(data: ReportData, limit: int = 3) -> list[str]:
    """What to act on: the most important sentences the data can back, `limit` at most."""
    found = (sentence(data) for sentence in (_stuck, _leads, _reps, _narrowest))
    return [sentence for sentence in found if sentence][:limit]


def cautions(data: ReportData) -> list[str]:
    """What to keep in mind before acting: models that know nothing, records refused or set aside, guards."""
    found = (sentence(data) for sentence in (_blind, _stopped, _refused, _set_aside))
    return [sentence for sentence in found if sentence]


def currencies(data: ReportData) -> list[str | None]:
    """The currencies of the open deals, the one most deals are in first."""
    deals: dict[str | None, int] = {}
    for row in data.stages.to_pylist():
        deals[row["currency"]] = deals.get(row["currency"], 0) + row["deals"]
    return sorted(deals, key=lambda currency: (-deals[currency], currency or ""))


def expected(data: ReportData, *, stuck: bool | None = None) -> list[tuple[float, str | None]]:
    """Expected revenue of the open deals per currency: of all, or of the stuck or the moving ones."""
    rows = [row for row in data.stages.to_pylist() if stuck is None or row["stuck"] == stuck]
    sums = [
        (sum(row["expected"] or 0.0 for row in rows if row["currency"] == currency), currency)
        for currency in currencies(data)
    ]
    return [pair for pair in sums if pair[0]]


def _refused(data: ReportData) -> str | None:
    written = data.written
    if written is None or not written.counts.rejected:
        return None
    return (
        f"The CRM refused {words.many(written.counts.rejected, 'record')} of {written.counts.planned:,}: "
        "the reasons are at the end of this page."
    )


def _stuck(data: ReportData) -> str | None:
    stuck = [row for row in data.stages.to_pylist() if row["stuck"]]
    amounts = expected(data, stuck=True)
    if not stuck or not amounts:
        return None
    deals = sum(row["deals"] for row in stuck)
    sentence = (
        f"{words.moneys(amounts)} of expected revenue sits in {words.many(deals, 'deal')} that stand longer "
        "in their stage than such deals usually do"
    )
    first = next((row for row in data.deals.to_pylist() if row["stuck"]), None)
    if first is not None:
        sentence += f"; start with {first['name'] or first['id']}"
    return sentence + "."


def _leads(data: ReportData) -> str | None:
    scores = next((scores for scores in data.scores if scores.object == "lead"), None)
    card = next((card for card in data.cards if card.object == "lead"), None)
    if scores is None or not scores.scored or (card is not None and card.blind):
        return None
    best = next(((grade, number) for grade, number in scores.grades.items() if number), None)
    if best is None:
        return None
    grade, number = best
    sentence = (
        f"Call the {words.many(number, 'open lead')} of grade {grade} first: the chance that they convert is "
        f"{words.percent(scores.means[grade] / 100)} on average"
    )
    if card is not None and card.base_rate is not None:
        sentence += f", of all leads {words.percent(card.base_rate.value)} did"
    return sentence + "."


def _blind(data: ReportData) -> str | None:
    blind = [words.OBJECTS[card.object][1] for card in data.cards if card.blind]
    if not blind:
        return None
    return (
        f"The scores of {words.listed(blind)} are base rates: on new outcomes their inputs did no better, so "
        "one can't be put before another."
    )


def _reps(data: ReportData) -> str | None:
    for key in EFFICIENCIES:
        team = data.team.get(key)
        rows = [row for row in data.reps.to_pylist() if row[key] is not None]
        if team is None or len(rows) < 2:
            continue
        unit = words.EFFICIENCIES[key][1]
        best = max(rows, key=lambda row: float(row[key]))
        if best[f"{key}_low"] > team:
            return (
                f"{best['name']} gets {words.significant(best[key])} {unit}, the team "
                f"{words.significant(team)}: worth finding out what is done differently."
            )
        return f"No rep stands out in {unit} (team: {words.significant(team)}): don't rank them on it."
    return None


def _narrowest(data: ReportData) -> str | None:
    row = charts.narrowest(data.funnel.to_pylist())
    share = charts.went_on(row) if row is not None else None
    if row is None or share is None:
        return None
    left = row["entered"] - row["still_open"]
    return (
        f"{row['stage']} loses most deals: {words.percent(1 - share)} of the {words.number(left)} that left "
        "it did not go on."
    )


def _stopped(data: ReportData) -> str | None:
    if data.written is None or not data.written.plan.guards or data.written.plan.status != "stopped":
        return None
    return f"Nothing was written: {words.listed(list(data.written.plan.guards.values()))}."


def _set_aside(data: ReportData) -> str | None:
    number = sum(data.set_aside_counts.values())
    if not number:
        return None
    return (
        f"{words.many(number, 'record')} could not be read and {'was' if number == 1 else 'were'} set aside."
    )
