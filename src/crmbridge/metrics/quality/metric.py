"""The quality metric: a score from 0 to 100 and the issues of every lead, contact, account and deal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import ModuleType
from typing import Any, ClassVar, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import JsonValue

from crmbridge.metrics.arrays import (
    UNKNOWN_MOMENT,
    Codes,
    Floats,
    Ids,
    Mask,
    moments,
    numbers,
    pieces,
    truths,
)
from crmbridge.metrics.base import Frame, Metric, MetricSettings
from crmbridge.metrics.days import Micros, calendar_days, micros
from crmbridge.metrics.quality.checks import EXPECTED, Found, check, columns, is_filled
from crmbridge.metrics.quality.duplicates import duplicates
from crmbridge.metrics.quality.signs import OBJECTS, signs_of_life
from crmbridge.metrics.quality.tables import REPAIR, fields, pairs, summary
from crmbridge.metrics.quality.texts import LANGUAGES
from crmbridge.metrics.quality.worth import worth
from crmbridge.model.fields import CATALOGUE, result_schema
from crmbridge.model.records import ObjectName
from crmbridge.model.results import Model, Results

COMPLETE, VALID, ALIVE, ONCE = 50.0, 25.0, 10.0, 15.0
"""Points for what is filled, what is valid, a sign of life, and being there once; together 100."""
KEPT: Final = 0.05
"""A field that fewer records fill is one that the organisation does not keep: nobody misses it."""
MONTH: Final = 30
STALE_DAYS: Final[Mapping[ObjectName, int]] = {"lead": 180, "deal": 180, "contact": 365, "account": 365}


class QualityMetric(Metric):
    """How complete and valid each record is, whether anything happened to it lately and whether it is there
    twice. See docs/metrics-quality.md.
    """

    name: ClassVar[str] = "quality"
    objects: ClassVar[tuple[ObjectName, ...]] = OBJECTS
    needs: ClassVar[tuple[ObjectName, ...]] = (*OBJECTS, "activity", "order", "stage_change")
    produces: ClassVar[tuple[str, ...]] = ("data_quality", "data_issues")

    def __init__(self, settings: MetricSettings) -> None:
        super().__init__(settings)
        self._frame: Frame | None = None
        self._signs: dict[str, tuple[pa.Array, Micros]] = {}

    @property
    def _text(self) -> ModuleType:
        return LANGUAGES[self.settings.language]

    def outcomes(self, object_name: ObjectName, frame: Frame) -> int:
        """The records: which fields are kept is looked at again when they grow."""
        return sum(batch.num_rows for batch in frame.scan(object_name, ("id",)))

    def fit(self, object_name: ObjectName, frame: Frame) -> Model:
        """Which fields the organisation keeps, what amounts are usual, and what a repair would be worth."""
        names = EXPECTED[object_name]
        records, filled = 0, np.zeros(len(names))
        amounts: list[Floats] = []
        for batch in pieces(frame, object_name, names):
            records += batch.num_rows
            filled += [int(is_filled(column).sum()) for column in batch.columns]
            if object_name == "deal":
                amount = numbers(batch.column(names.index("amount")))
                amounts.append(amount[amount > 0])
        usual = np.concatenate(amounts) if amounts else np.zeros(0)
        kept = [name for name, number in zip(names, filled, strict=True) if number >= KEPT * max(records, 1)]
        parameters = {
            "kept": kept,
            "usual_amount": float(np.median(usual)) if len(usual) else None,
        }
        card: dict[str, Any] = {
            "records": records,
            "filled": {
                name: round(float(number) / max(records, 1), 6)
                for name, number in zip(names, filled, strict=True)
            },
            "kept": kept,
            "repair": [
                {key: float(f"{v:.8g}") if isinstance(v, float) else v for key, v in asdict(each).items()}
                for each in worth(frame, object_name)
            ],
        }
        return Model(
            metric=self.name,
            object=object_name,
            parameters=cast("Mapping[str, JsonValue]", parameters),
            card=cast("Mapping[str, JsonValue]", card),
            provisional=not kept,
        )

    def apply(self, object_name: ObjectName, frame: Frame, model: Model) -> Results:
        """The score, the issues and their parts of every live record; figures of all."""
        kept = cast("Sequence[str]", model.parameters["kept"])
        usual = cast("float | None", model.parameters["usual_amount"])
        twins = duplicates(frame, object_name)
        repeated, partner = twins.is_duplicate, twins.partner()
        number_of = Ids(twins.ids)
        found: list[pa.Table] = []
        wanted = ("id", *columns(object_name))
        for batch in pieces(frame, object_name, wanted):
            column = dict(zip(wanted, batch.columns, strict=True))
            checked = check(object_name, column, frame.moment, usual)
            place = number_of.find(column["id"])
            quiet = self._quiet(frame, object_name, column)
            other = partner[place]
            twin = twins.ids.take(pa.array(other, mask=other < 0))
            found.append(self._judged(column["id"], kept, checked, quiet, repeated[place], twin, object_name))
        table = pa.concat_tables(found) if found else _EMPTY
        types = result_schema(object_name, self.produces)
        return Results(
            object=object_name,
            values=table.select(types.names).cast(types),
            details=table.drop_columns([*types.names]),
            tables={
                "quality_summary": summary(table, twins, kept, self._text),
                "quality_fields": fields(model, table),
                "repair": pa.Table.from_pylist(cast("Any", model.card["repair"]), REPAIR),
                "duplicates": pairs(twins),
            },
        )

    def _judged(
        self,
        ids: pa.Array,
        kept: Sequence[str],
        checked: Found,
        quiet: Floats,
        repeated: Mask,
        twin: pa.Array,
        object_name: ObjectName,
    ) -> pa.Table:
        number = len(ids)
        filled = np.stack([checked.filled[name] for name in kept]) if kept else np.ones((1, number), bool)
        wrong = np.stack(list(checked.wrong.values()))
        some = np.stack([checked.filled.get(name, np.ones(number, bool)) for name in checked.wrong])
        stale = quiet >= STALE_DAYS[object_name]
        # Whole months: a number of days would make every record's result another one each day.
        months = np.nan_to_num(quiet).astype(np.int64) // MONTH
        complete = filled.mean(axis=0)
        valid = 1 - wrong.sum(axis=0) / np.maximum(some.sum(axis=0), 1)
        score = COMPLETE * complete + VALID * valid + ALIVE * ~stale + ONCE * ~repeated
        missing = {name: ~checked.filled[name] for name in kept}
        return pa.table(
            {
                "id": ids,
                "data_quality": pa.array(np.round(score, 2)),
                "data_issues": self._issues(missing, checked.wrong, months, stale, twin),
                "complete": pa.array(complete),
                "valid": pa.array(valid),
                "quiet_months": pa.array(np.where(stale, months, 0), mask=~stale),
                "duplicate_of": twin,
                "wrong_fields": _listed(number, checked.wrong, {name: name for name in checked.wrong}, ","),
            }
        )

    def _issues(
        self,
        missing: Mapping[str, Mask],
        wrong: Mapping[str, Mask],
        months: Codes,
        stale: Mask,
        twin: pa.Array,
    ) -> pa.Array:
        text = self._text
        before, after = text.QUIET
        silent = pc.binary_join_element_wise(before, pa.array(months).cast(pa.string()), after, "")
        same = pc.binary_join_element_wise(text.SAME, pc.fill_null(twin, ""), "")
        sentences = [
            (_listed(len(twin), missing, text.LABELS, text.COMMA), text.MISSING),
            (_listed(len(twin), wrong, text.LABELS, text.COMMA), text.WRONG),
            (pc.if_else(pa.array(stale), silent, ""), ""),
            (pc.if_else(twin.is_valid(), same, ""), ""),
        ]
        parts = [
            pc.if_else(pc.equal(said, ""), "", pc.binary_join_element_wise(head, said, text.END, ""))
            for said, head in sentences
        ]
        whole = pc.utf8_trim_whitespace(pc.binary_join_element_wise(*parts, ""))
        short = pc.utf8_slice_codeunits(whole, 0, CATALOGUE["data_issues"].length)
        return pc.if_else(pc.equal(short, ""), pa.scalar(None, pa.string()), short)

    def _quiet(self, frame: Frame, object_name: ObjectName, column: Mapping[str, pa.Array]) -> Floats:
        """Days since the last sign of life; NaN where none is known, and for what is over."""
        ids, signs = self._sign_of_life(frame, object_name)
        last = moments(column["created_at"]).copy()
        place = Ids(ids).find(column["id"])
        seen = place >= 0
        last[seen] = np.maximum(last[seen], signs[place[seen]])
        known = last != UNKNOWN_MOMENT
        days = np.full(len(last), np.nan)
        today = calendar_days(np.array([micros(frame.moment)]), frame.zone)[0]
        days[known] = np.maximum(today - calendar_days(last[known], frame.zone), 0)
        over = np.zeros(len(days), bool)
        for name in ("closed_at", "converted_at"):
            if name in column:
                over |= moments(column[name]) != UNKNOWN_MOMENT
        for name in ("is_closed", "is_won"):
            if name in column:
                over |= truths(column[name], unknown=False)
        return np.where(over, np.nan, days)

    def _sign_of_life(self, frame: Frame, object_name: ObjectName) -> tuple[pa.Array, Micros]:
        """The records that anything happened to, and when last: activities, orders, stage changes."""
        if self._frame is not frame:
            self._frame, self._signs = frame, signs_of_life(frame)
        return self._signs[object_name]


def _listed(number: int, flags: Mapping[str, Mask], labels: Mapping[str, str], comma: str) -> pa.Array:
    """The labels of what is true of each of `number` rows, with commas between."""
    text = pa.repeat(pa.scalar(""), number)
    begun = np.zeros(number, bool)
    for name, flag in flags.items():
        with_comma = pa.array(np.where(begun & flag, comma, ""), pa.string())
        label = pa.array(np.where(flag, labels[name], ""), pa.string())
        text = pc.binary_join_element_wise(text, with_comma, label, "")
        begun |= flag
    return text


_EMPTY: Final = pa.table(
    {
        "id": pa.array([], pa.string()),
        "data_quality": pa.array([], pa.float64()),
        "data_issues": pa.array([], pa.string()),
        "complete": pa.array([], pa.float64()),
        "valid": pa.array([], pa.float64()),
        "quiet_months": pa.array([], pa.int64()),
        "duplicate_of": pa.array([], pa.string()),
        "wrong_fields": pa.array([], pa.string()),
    }
)
