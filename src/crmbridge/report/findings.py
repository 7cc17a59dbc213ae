"""Sentences that matter beside the priced changes, and what to keep in mind, made from the data."""

from __future__ import annotations

from crmbridge.report.data import EFFICIENCIES, ReportData
from crmbridge.report.words import Words, number, percent, significant


def findings(words: Words, data: ReportData) -> list[str]:
    """What else to act on: without a price, but never without its number."""
    found = (sentence(words, data) for sentence in (_leads, _reps))
    return [sentence for sentence in found if sentence]


def cautions(words: Words, data: ReportData) -> list[str]:
    """What to keep in mind before acting: models that know nothing, records refused or set aside, guards."""
    found = (sentence(words, data) for sentence in (_blind, _stopped, _refused, _set_aside))
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


def _refused(words: Words, data: ReportData) -> str | None:
    written = data.written
    if written is None or not written.counts.rejected:
        return None
    return words.text(
        "The CRM refused {n} of {planned}: the reasons are at the end of this page.",
        n=words.many(written.counts.rejected, "record"),
        planned=number(written.counts.planned),
    )


def _leads(words: Words, data: ReportData) -> str | None:
    scores = next((scores for scores in data.scores if scores.object == "lead"), None)
    card = next((card for card in data.cards if card.object == "lead"), None)
    if scores is None or not scores.scored or (card is not None and card.blind):
        return None
    best = next(((grade, records) for grade, records in scores.grades.items() if records), None)
    if best is None:
        return None
    grade, records = best
    said = words.text(
        "Call the {leads} of grade {grade} first: the chance that they convert is {chance} on average.",
        leads=words.many(records, "open lead"),
        grade=grade,
        chance=percent(scores.means[grade] / 100),
    )
    if card is not None and card.base_rate is not None:
        said += " " + words.text("Of all leads {share} did.", share=percent(card.base_rate.value))
    return said


def _blind(words: Words, data: ReportData) -> str | None:
    blind = [words.things(card.object) for card in data.cards if card.blind]
    if not blind:
        return None
    return words.text(
        "The scores of {objects} are base rates: on new outcomes their inputs "
        "did no better, so one can't be put before another.",
        objects=words.listed(blind),
    )


def _reps(words: Words, data: ReportData) -> str | None:
    for key in EFFICIENCIES:
        team = data.team.get(key)
        rows = [row for row in data.reps.to_pylist() if row[key] is not None]
        if team is None or len(rows) < 2:
            continue
        unit = words.efficiency(key)[1]
        best = max(rows, key=lambda row: float(row[key]))
        if best[f"{key}_low"] > team:
            return words.text(
                "{rep} gets {rate} {unit}, the team {team}: worth finding out what is done differently.",
                rep=best["name"],
                rate=significant(best[key]),
                unit=unit,
                team=significant(team),
            )
        return words.text(
            "No rep stands out in {unit} (team: {team}): don't rank them on it.",
            unit=unit,
            team=significant(team),
        )
    return None


def _stopped(words: Words, data: ReportData) -> str | None:
    if data.written is None or not data.written.plan.guards or data.written.plan.status != "stopped":
        return None
    return words.text(
        "Nothing was written: {why}.", why=words.listed(list(data.written.plan.guards.values()))
    )


def _set_aside(words: Words, data: ReportData) -> str | None:
    aside = sum(data.set_aside_counts.values())
    if not aside:
        return None
    return words.text("Set aside because they could not be read: {n}.", n=words.many(aside, "record"))
