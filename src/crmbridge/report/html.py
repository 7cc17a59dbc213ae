"""The report as one HTML file: no network, no script, opens from an e-mail, prints on A4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from crmbridge.report import charts, words
from crmbridge.report.cards import Card
from crmbridge.report.collect import collect
from crmbridge.report.data import EFFICIENCIES, ReportData
from crmbridge.report.files import replacing
from crmbridge.report.findings import cautions, currencies, expected, findings
from crmbridge.store.lake import Lake
from crmbridge.store.ledger import Ledger


def write_report(
    ledger: Ledger,
    lake: Lake,
    connection: str,
    path: Path,
    *,
    moment: datetime,
    zone: ZoneInfo | None = None,
) -> Path:
    """Gather a connection's report as of `moment` and write it to `path`; days are told in `zone` (UTC)."""
    return write(collect(ledger, lake, connection, moment=moment, zone=zone), path)


def render(data: ReportData) -> str:
    """The whole page. Every text from the data is escaped."""
    return _environment().get_template("report.html.j2").render(_view(data))


def write(data: ReportData, path: Path) -> Path:
    """Render to `path`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    page = render(data)
    with replacing(path) as file:
        file.write_text(page, "utf-8")
    return path


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("crmbridge.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=words.percent,
        number=words.number,
        money=words.money,
        days=words.days,
        day=words.day,
        minute=words.minute,
        many=words.many,
        interval=lambda estimate: words.interval(estimate.low, estimate.high),
        list_of=_list_of,
        contests=contests,
    )
    style, _, _ = environment.loader.get_source(environment, "report.css")  # type: ignore[union-attr]
    environment.globals.update(style=Markup(style), words=words)  # noqa: S704 - our own file
    return environment


def _list_of(row: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    return ["" if row[name] is None else row[name] for name in names]


def contests(card: Card) -> list[list[str]]:
    """The rows of the score arena: the model and the rival, one below the other."""
    rows = []
    for contest in card.arena:
        outcomes = words.number(contest.records)
        if contest.auc is None:
            rows.append([contest.rival, outcomes, "too few known in time so far", "", "", ""])
            continue
        for side, name in enumerate(("crmbridge", contest.rival)):
            figures = [
                "" if found is None else f"{found.value:.3g} ({found.low:.3g} to {found.high:.3g})"
                for found in (contest.auc[side], contest.brier[side], contest.lift[side])
            ]
            ahead = "yes" if contest.ahead == ("model", "rival")[side] else ""
            rows.append([name, outcomes, *figures, ahead if contest.ahead else "can't be told"])
    return rows


def _view(data: ReportData) -> dict[str, Any]:
    main = currencies(data)[:1]
    return {
        "data": data,
        "moment": data.moment.astimezone(data.zone),
        "findings": findings(data),
        "cautions": cautions(data),
        "expected": words.moneys(expected(data)) if expected(data) else None,
        "funnel": charts.funnel(data.funnel, data.figures.get("won")),
        "money": charts.money_in_stages(data.stages, main[0]) if main else None,
        "leads_alike": len(data.leads) > 1 and len(data.leads["score"].unique()) == 1,
        "several_currencies": len(currencies(data)) > 1,
        "spreads": [
            {
                "scores": scores,
                "blind": next(
                    (card for card in data.cards if card.object == scores.object and card.blind), None
                ),
                "charts": [
                    chart
                    for chart in (
                        charts.distribution(scores),
                        *(charts.calibration(card) for card in data.cards if card.object == scores.object),
                    )
                    if chart
                ],
            }
            for scores in data.scores
        ],
        "months": [chart for key in EFFICIENCIES if (chart := charts.by_month(data.months, key))],
        "efficiencies": [
            chart for key in EFFICIENCIES if (chart := charts.efficiency(data.reps, key, data.team.get(key)))
        ],
        "groups": [
            chart
            for grouping, groups in data.groups.items()
            for key in EFFICIENCIES
            if (chart := charts.efficiency(groups, key, data.team.get(key), grouping))
        ],
    }
