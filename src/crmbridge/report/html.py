"""The report as one HTML file: no network, no script, opens from an e-mail, prints on A4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from crmbridge.report import charts
from crmbridge.report import words as numbers
from crmbridge.report.anonymous import anonymous
from crmbridge.report.cards import Card
from crmbridge.report.changes import changes
from crmbridge.report.collect import collect
from crmbridge.report.data import EFFICIENCIES, ReportData
from crmbridge.report.figures import Cell, Figure
from crmbridge.report.files import replacing
from crmbridge.report.findings import cautions, currencies, expected, findings
from crmbridge.report.svg import Chart
from crmbridge.report.words import Words
from crmbridge.store.lake import Lake
from crmbridge.store.ledger import Ledger

SLIPPING_SHOWN: Final = 12


def write_report(
    ledger: Ledger,
    lake: Lake,
    connection: str,
    path: Path,
    *,
    moment: datetime,
    zone: ZoneInfo | None = None,
    language: str = "en",
    nameless: bool = False,
) -> Path:
    """Gather a connection's report as of `moment` and write it to `path`; days are told in `zone` (UTC).

    `nameless` leaves out every name of a person, company, deal or team.
    """
    words = Words(language)
    data = collect(ledger, lake, connection, moment=moment, zone=zone)
    return write(anonymous(words, data) if nameless else data, path, words)


def render(data: ReportData, words: Words | None = None) -> str:
    """The whole page. Every text from the data is escaped."""
    language = words or Words()
    return _environment().get_template("report.html.j2").render(_view(data, language))


def write(data: ReportData, path: Path, words: Words | None = None) -> Path:
    """Render to `path`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    page = render(data, words)
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
        percent=numbers.percent,
        number=numbers.number,
        interval=lambda estimate: numbers.interval(estimate.low, estimate.high),
        list_of=_list_of,
    )
    style, _, _ = environment.loader.get_source(environment, "report.css")  # type: ignore[union-attr]
    environment.globals.update(style=Markup(style), interval_of=numbers.interval)  # noqa: S704 - our own file
    return environment


def _list_of(row: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    return ["" if row[name] is None else row[name] for name in names]


def contests(words: Words, card: Card) -> list[list[str]]:
    """The rows of the score arena: the model and the rival, one below the other."""
    rows = []
    for contest in card.arena:
        outcomes = numbers.number(contest.records)
        if contest.auc is None:
            rows.append([contest.rival, outcomes, words.text("too few known in time so far"), "", "", ""])
            continue
        for side, name in enumerate(("crmbridge", contest.rival)):
            figures = [
                ""
                if found is None
                else words.text(
                    "{value} ({low} to {high})",
                    value=f"{found.value:.3g}",
                    low=f"{found.low:.3g}",
                    high=f"{found.high:.3g}",
                )
                for found in (contest.auc[side], contest.brier[side], contest.lift[side])
            ]
            ahead = words.text("yes") if contest.ahead == ("model", "rival")[side] else ""
            rows.append([name, outcomes, *figures, ahead if contest.ahead else words.text("can't be told")])
    return rows


def _drift(words: Words, card: Card) -> str | None:
    """What has changed since the model was learned, in a sentence."""
    if card.drift is None:
        return None
    drift = card.drift
    said = words.text(
        "Of the newest records {observed} came true, {predicted} were predicted from older ones.",
        observed=numbers.percent(drift.observed, 1),
        predicted=numbers.percent(drift.predicted, 1),
    )
    verdict = "They have drifted." if drift.shown else "That is within chance."
    return f"{said} {words.text(verdict)}"


def _slipping(words: Words, data: ReportData) -> list[list[Cell]]:
    """The first customers who slip away, for a table."""

    def figure(row: Mapping[str, Any], column: str, text: str, table: str) -> Cell:
        if row[column] is None:
            return ""
        key = "id" if table == "value_account" else "record_id"
        return Figure(text, row[column], table, column, ((key, row["record_id"]),))

    own, value = "segments_account_slipping", "value_account"
    return [
        [
            row["name"] or row["record_id"],
            figure(row, "orders", numbers.number(row["orders"]), own),
            figure(row, "spent", words.money(row["spent"] or 0.0, data.orders_currency), own),
            figure(row, "days_since_order", numbers.number(row["days_since_order"]), own),
            figure(row, "usual_days", numbers.number(row["usual_days"]), own),
            figure(row, "value_12m", words.money(row["value_12m"] or 0.0, data.orders_currency), value),
        ]
        for row in data.slipping.to_pylist()[:SLIPPING_SHOWN]
    ]


def _known(*found: Chart | None) -> list[Chart]:
    return [chart for chart in found if chart is not None]


def _view(data: ReportData, words: Words) -> dict[str, Any]:
    main = currencies(data)[:1]
    currency = main[0] if main else None
    team = data.team
    return {
        "data": data,
        "words": words,
        "t": words.text,
        "moment": data.moment.astimezone(data.zone),
        "changes": changes(words, data, currency),
        "findings": findings(words, data),
        "cautions": cautions(words, data),
        "expected": [
            Figure(words.money(amount, of), amount, "report", "expected", (("currency", of or ""),))
            for amount, of in expected(data)
        ],
        "process": _known(
            charts.funnel(words, data.funnel, data.figures.get("won")),
            charts.waiting(words, data.bottlenecks, currency),
            charts.money_in_stages(words, data.stages, currency) if main else None,
        ),
        "process_map": charts.process_map(words, data.nodes, data.edges, data.bottlenecks),
        "leads_alike": len(data.leads) > 1 and len(data.leads["score"].unique()) == 1,
        "several_currencies": len(currencies(data)) > 1,
        "outlook": _known(
            charts.forecast(words, data.forecast),
            charts.accuracy(words, data.backtest, _currency(data.forecast)),
        ),
        "velocity": charts.velocity(words, data.velocity),
        "segments": charts.segments(words, data.segments, data.movement, data.orders_currency),
        "slipping": _slipping(words, data),
        "market": _known(
            charts.quarters(words, data.quarters, data.moved, currency),
            charts.standing_out(words, data.market),
        ),
        "quality": _known(*(charts.completeness(words, each) for each in data.quality)),
        "spreads": [
            {
                "scores": scores,
                "blind": next(
                    (card for card in data.cards if card.object == scores.object and card.blind), None
                ),
                "charts": _known(
                    charts.distribution(words, scores),
                    *(charts.calibration(words, card) for card in data.cards if card.object == scores.object),
                ),
            }
            for scores in data.scores
        ],
        "aside": [words.many(count, name) for name, count in data.set_aside_counts.items()],
        "contests": lambda card: contests(words, card),
        "drift": lambda card: _drift(words, card),
        "months": _known(*(charts.by_month(words, data.months, key) for key in EFFICIENCIES)),
        "efficiencies": _known(
            *(charts.efficiency(words, data.reps, key, team.get(key)) for key in EFFICIENCIES)
        ),
        "groups": _known(
            *(
                charts.efficiency(words, groups, key, team.get(key), grouping)
                for grouping, groups in data.groups.items()
                for key in EFFICIENCIES
            )
        ),
    }


def _currency(table: pa.Table) -> str | None:
    found = table["currency"].to_pylist()
    return found[0] if found else None
