"""The report's pages of tables: customers, the market, data quality. Each builder takes plain rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from crmbridge.report import words

Row = Mapping[str, Any]

SHOWN: Final = 12
"""Rows of a table; the exports have all."""
_DIMENSIONS: Final[dict[str, str]] = {
    "industry": "Industry",
    "country": "Country",
    "source": "Source",
    "type": "Type",
} | {
    "size": "Employees",
    "team": "Team",
    "product": "Product",
    "region": "Region",
}
_MEASURES: Final = {
    "win_rate": "Win rate",
    "value": "Mean value",
    "days": "Days to win",
    "growth": "Growth",
    "won_value": "Value won",
}


@dataclass(frozen=True)
class Table:
    """A table as it is shown: texts only."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A heading with an id, sentences, and tables; tables without rows are left out."""

    id: str
    title: str
    sentences: tuple[str, ...]
    tables: tuple[Table, ...]


def customers(
    segments: Sequence[Row],
    movement: Sequence[Row],
    slipping: Sequence[Row],
    figures: Mapping[str, float | None],
    verdict: Sequence[str],
) -> Section | None:
    """Groups of customers and their value (tables `segments`, `movement`, `slipping` of the metric segments,
    `value_summary` of value, the cards' sentences); None where there are no customers.
    """
    if not figures.get("customers"):
        return None
    sentences = list(verdict)
    value, orders = figures.get("value_12m"), figures.get("orders_12m")
    if orders is not None:
        worth = "" if value is None else f", worth {words.money(value, None)}"
        sentences.insert(
            0, f"{words.number(orders)} orders are expected of them in the next 12 months{worth}."
        )
    moved = [row for row in movement if row["from_segment"] != row["to_segment"]]
    moved.sort(key=lambda row: -row["customers"])
    days = f" in the last {movement[0]['days']} days" if movement else ""
    tables = (
        Table(
            "Groups of customers",
            (
                "Group",
                "Customers",
                "Share",
                "Orders each",
                "Days since the last",
                "Spent",
                "Share of all spent",
            ),
            tuple(
                (
                    row["segment"],
                    words.number(row["customers"]),
                    words.percent(row["share"]),
                    words.number(row["median_orders"]),
                    words.number(row["median_days_since_order"]),
                    _money(row["spent"]),
                    _percent(row["share_of_spent"]),
                )
                for row in segments
            ),
        ),
        Table(
            "Customers slipping away, those who spent most first",
            ("Customer", "Orders", "Spent", "Usually every", "Quiet for", "Chance of such a pause"),
            tuple(
                (
                    row["name"] or row["record_id"],
                    words.number(row["orders"]),
                    _money(row["spent"]),
                    words.days(row["usual_days"]),
                    words.days(row["days_since_order"]),
                    words.percent(row["pause_chance"], 1),
                )
                for row in slipping[:SHOWN]
            ),
        ),
        Table(
            f"Who moved between groups{days}",
            ("From", "To", "Customers"),
            tuple(
                (row["from_segment"], row["to_segment"], words.number(row["customers"]))
                for row in moved[:SHOWN]
            ),
        ),
    )
    return _section("customers", "Customers", sentences, tables)


def market(rows: Sequence[Row], moved: Sequence[Row], verdict: Sequence[str]) -> Section | None:
    """What stands out in the market and what moved (tables `market` and `moved` of the metric market); None
    where nothing could be compared.
    """
    if not rows and not moved:
        return None
    found = sorted((row for row in rows if row["stands_out"]), key=lambda row: row["p_value"])
    tables = (
        Table(
            "What stands out",
            ("Where", "Measure", "Here", "90 % interval", "All others", "Deals closed"),
            tuple(
                (
                    f"{_dimension(row)}: {row['group']}",
                    _MEASURES[row["measure"]],
                    _measured(row["measure"], row["value"]),
                    _ends(row["measure"], row["low"], row["high"]),
                    _measured(row["measure"], row["others"]),
                    words.number(row["closed"]),
                )
                for row in found[:SHOWN]
            ),
        ),
        Table(
            f"What moved from {moved[0]['before_quarter']} to {moved[0]['quarter']}" if moved else "",
            ("Measure", "By", "Before", "After", "Change", "of it mix", "of it within"),
            tuple(
                (
                    _MEASURES[row["measure"]],
                    _dimension(row),
                    _measured(row["measure"], row["before"]),
                    _measured(row["measure"], row["after"]),
                    _change(row["measure"], row["change"]),
                    _change(row["measure"], row["mix"]),
                    _change(row["measure"], row["within"]),
                )
                for row in moved
            ),
        ),
    )
    return _section("market", "The market", verdict, tables)


def quality(
    summaries: Mapping[str, Sequence[Row]],
    fields: Mapping[str, Sequence[Row]],
    repairs: Mapping[str, Sequence[Row]],
) -> Section | None:
    """How good the records are, by object (tables `quality_summary`, `quality_fields` and `repair`); None
    where there are none.
    """
    figures = {name: {row["figure"]: row["value"] for row in rows} for name, rows in summaries.items()}
    shown = {name: own for name, own in figures.items() if own.get("records")}
    if not shown:
        return None
    faults = [(name, row) for name in shown for row in fields.get(name, ()) if row["kept"]]
    missing = sorted(
        (
            (name, row)
            for name, row in faults
            if (row["filled"] is not None and row["filled"] < 1) or row["not_valid"]
        ),
        key=lambda pair: pair[1]["filled"] if pair[1]["filled"] is not None else 1.0,
    )
    worth = [(name, row) for name in shown for row in repairs.get(name, ()) if row["gain"] and row["missing"]]
    worth.sort(key=lambda pair: -pair[1]["gain"] * pair[1]["missing"])
    tables = (
        Table(
            "Records",
            ("", "Records", "Quality, of 100", "With issues", "Probably there twice"),
            tuple(
                (
                    words.OBJECTS[name][1].capitalize(),
                    words.number(own["records"]),
                    words.number(own["data_quality"], 1),
                    words.number(own["with_issues"]),
                    words.number(own["duplicate_records"]),
                )
                for name, own in shown.items()
            ),
        ),
        Table(
            "Fields",
            ("Field", "Filled", "Not valid"),
            tuple(
                (
                    f"{words.OBJECTS[name][0].capitalize()}: {row['field'].replace('_', ' ')}",
                    _percent(row["filled"]),
                    words.number(row["not_valid"]),
                )
                for name, row in missing[:SHOWN]
            ),
        ),
        Table(
            "What filling it would be worth to the scores, at most",
            ("Field", "Open records without it", "Log-loss saved for each", "90 % interval"),
            tuple(
                (
                    f"{words.OBJECTS[name][0].capitalize()}: {row['field'].replace('_', ' ')}",
                    words.number(row["missing"]),
                    words.significant(row["gain"]),
                    f"{words.significant(row['low'])}–{words.significant(row['high'])}",
                )
                for name, row in worth
            ),
        ),
    )
    return _section("quality", "Data quality", (), tables)


def _section(id: str, title: str, sentences: Sequence[str], tables: Sequence[Table]) -> Section:
    return Section(id, title, tuple(sentences), tuple(table for table in tables if table.rows))


def _dimension(row: Row) -> str:
    name: str = row["dimension"]
    return _DIMENSIONS.get(name, name)


def _money(value: float | None) -> str:
    return "" if value is None else words.money(value, None)


def _percent(value: float | None) -> str:
    return "" if value is None else words.percent(value)


def _measured(measure: str, value: float | None) -> str:
    if value is None:
        return ""
    if measure == "win_rate":
        return words.percent(value, 1)
    if measure == "growth":
        return f"{words.number(100 * value)}{words.NBSP}%"
    return words.number(value, 1) if measure == "days" else words.money(value, None)


def _ends(measure: str, low: float | None, high: float | None) -> str:
    if low is None:
        return ""
    return f"{_measured(measure, low)} to {_measured(measure, high) or 'any'}"


def _change(measure: str, value: float | None) -> str:
    """A change; of a win rate in points."""
    if value is None:
        return ""
    sign = "+" if value > 0 else ""
    if measure == "win_rate":
        return f"{sign}{words.number(100 * value, 1)} points"
    return sign + words.money(value, None)
