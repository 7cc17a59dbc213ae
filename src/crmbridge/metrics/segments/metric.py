"""The segments metric: RFM scores, groups that come back, who is slipping away, and who moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any, ClassVar, Final, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import JsonValue

from crmbridge.metrics.arrays import Codes, Floats, Ids
from crmbridge.metrics.base import Frame, Metric, MetricSettings
from crmbridge.metrics.segments import rfm
from crmbridge.metrics.segments.clusters import nearest, stable_centres
from crmbridge.metrics.segments.rhythm import chance_of_such_a_pause, lost, slipping
from crmbridge.metrics.segments.tables import movement, over_time, overview, slipping_customers
from crmbridge.metrics.segments.tally import Standing, Tally, tally
from crmbridge.metrics.segments.texts import LANGUAGES
from crmbridge.model.fields import result_schema
from crmbridge.model.records import ObjectName
from crmbridge.model.results import Model, Results

FEWEST: Final = 30
"""Customers it takes to divide them."""
STEPS: Final = 4
"""How many windows it looks back."""
_MEASURES: Final = ("recency", "frequency", "money")


class SegmentsMetric(Metric):
    """The group of every customer: by last order, number of orders and money; slipping away and lost by the
    customer's own rhythm. See docs/metrics-segments.md.
    """

    name: ClassVar[str] = "segments"
    objects: ClassVar[tuple[ObjectName, ...]] = ("account",)
    needs: ClassVar[tuple[ObjectName, ...]] = ("order",)
    needs_records: ClassVar[bool] = False
    produces: ClassVar[tuple[str, ...]] = ("segment",)

    def __init__(self, settings: MetricSettings) -> None:
        super().__init__(settings)
        self._last: tuple[Frame, Tally] | None = None

    @property
    def _text(self) -> ModuleType:
        return LANGUAGES[self.settings.language]

    def outcomes(self, object_name: ObjectName, frame: Frame) -> int:
        """The orders known."""
        return int(self._tally(frame).now.orders.sum())

    def fit(self, object_name: ObjectName, frame: Frame) -> Model:
        """Bounds of the scores, and the groups that come back. Too few customers: no groups."""
        found = self._tally(frame)
        now = found.now
        parameters: dict[str, Any] = {"bounds": None, "columns": [], "mean": [], "scale": [], "centres": []}
        card: dict[str, Any] = {
            "customers": len(now),
            "orders": int(now.orders.sum()),
            "currency": found.currency,
            "left_out": dict(found.left_out),
            "groups": 0,
            "stability": [],
        }
        if len(now) < FEWEST:
            verdict = [self._text.too_few(len(now), FEWEST)]
        else:
            parameters["bounds"] = {name: rfm.bounds(values) for name, values in _measures(now).items()}
            points = _logarithms(now)
            columns = [
                name for name in _MEASURES if np.isfinite(points[name]).all() and np.ptp(points[name]) > 0
            ]
            whole = (
                np.stack([points[name] for name in columns], axis=1) if columns else np.zeros((len(now), 0))
            )
            mean, scale = whole.mean(axis=0), whole.std(axis=0)
            centres, tried = (
                stable_centres((whole - mean) / scale, self.settings.seed)
                if columns
                else (np.zeros((1, 0)), [])
            )
            parameters |= {
                "columns": columns,
                "mean": _rounded(mean),
                "scale": _rounded(scale),
                "centres": [_rounded(centre) for centre in centres],
            }
            card["groups"] = len(centres)
            card["stability"] = [{k: _short(v) for k, v in asdict(each).items()} for each in tried]
            verdict = self._verdict(len(centres), card["stability"])
        return Model(
            metric=self.name,
            object=object_name,
            parameters=cast("Mapping[str, JsonValue]", parameters),
            card=cast("Mapping[str, JsonValue]", {"verdict": verdict, **card}),
            provisional=len(now) < FEWEST,
        )

    def _verdict(self, groups: int, stability: list[dict[str, Any]]) -> list[str]:
        if groups < 2:
            return [self._text.none_stable()]
        said = [self._text.groups(groups, stability[-1]["other_seed"], stability[-1]["other_half"])]
        return said + ([self._text.fewer(stability[0]["groups"])] if len(stability) > 1 else [])

    def apply(self, object_name: ObjectName, frame: Frame, model: Model) -> Results:
        """The group of every live account with an order, and how the groups are made up and change."""
        found = self._tally(frame)
        divided = Divided(model.parameters, self._text)
        names = [divided.names(standing) for standing in found.standings]
        now = found.now
        live = frame.table("account", ("id",))["id"].combine_chunks()
        row = np.full(len(found.ids) + 1, -1, np.int64)
        row[now.customer] = np.arange(len(now))
        rows = row[Ids(found.ids).find(live)]
        segment = np.append(names[-1], np.array([None], object))[rows]
        types = result_schema(object_name, self.produces)
        details: dict[str, pa.Array] = {
            f"{name}_score": pa.array(np.append(score, 0)[rows], mask=np.append(score, 0)[rows] == 0)
            for name, score in divided.scores(now).items()
        }
        chance = chance_of_such_a_pause(now.orders, now.last - now.first, now.quiet)
        for name, column in (
            ("orders_so_far", now.orders.astype(np.float64)),
            ("spent_so_far", now.spent),
            ("days_since_order", now.quiet),
            ("pause_chance", chance),
        ):
            taken = np.append(column, np.nan)[rows]
            details[name] = pa.array(taken, pa.float64(), mask=~np.isfinite(taken))
        return Results(
            object=object_name,
            values=pa.table({"id": live, "segment": pa.array(segment, pa.string())}, schema=types),
            details=pa.table(details),
            tables={
                "segments": overview(now, names[-1]),
                "movement": movement(found.standings[-2], names[-2], now, names[-1], self._text.NEW),
                "over_time": over_time(found.standings, names),
                "slipping": slipping_customers(frame, found.ids, now, chance, slipping(chance)),
            },
        )

    def _tally(self, frame: Frame) -> Tally:
        """The customers of a frame, counted once for fitting and applying."""
        if self._last is None or self._last[0] is not frame:
            back = [self.settings.window_days * step for step in range(STEPS, 0, -1)]
            self._last = (frame, tally(frame, back))
        return self._last[1]


@dataclass(frozen=True)
class Divided:
    """A model's groups, applied to customers as of any day."""

    parameters: Mapping[str, Any]
    text: ModuleType

    def scores(self, of: Standing) -> dict[str, Codes]:
        """The RFM scores, 1 to 5; 0 where there is none."""
        bounds = self.parameters["bounds"] or dict.fromkeys(_MEASURES, ())
        return {name: rfm.scores(values, list(bounds[name])) for name, values in _measures(of).items()}

    def names(self, of: Standing) -> npt.NDArray[np.object_]:
        """The name of each customer's group; None without groups."""
        if self.parameters["bounds"] is None:
            return np.full(len(of), None, object)
        columns = self.parameters["columns"]
        points = _logarithms(of)
        standard = {
            name: (np.nan_to_num(points[name], nan=mean) - mean) / scale
            for name, mean, scale in zip(
                columns, self.parameters["mean"], self.parameters["scale"], strict=True
            )
        }
        centres = np.array(self.parameters["centres"], np.float64)
        if len(centres) > 1:
            own = nearest(np.stack(list(standard.values()), axis=1), centres)
            found = self._named(dict(zip(columns, centres.T, strict=True)), len(centres))[own]
        else:
            found = self._named(standard, len(of))
        chance = chance_of_such_a_pause(of.orders, of.last - of.first, of.quiet)
        found[slipping(chance)] = self.text.SLIPPING
        found[lost(chance)] = self.text.LOST
        return found

    def _named(self, place: Mapping[str, Floats], number: int) -> npt.NDArray[np.object_]:
        """The names for these places in standard deviations; what is the same for all counts as the mean."""
        nothing = np.zeros(number)
        # The logarithm of the quiet days is the other way round: few are good.
        signs = [place.get("recency", nothing) <= 0, place.get("frequency", nothing) > 0]
        if "money" in place:
            signs.append(place["money"] > 0)
        texts = np.array(["-", "+"], object)
        words = sum((texts[sign.astype(np.int64)] for sign in signs[1:]), texts[signs[0].astype(np.int64)])
        names: npt.NDArray[np.object_] = np.array([self.text.NAMES[word] for word in words], object)
        return names


def _measures(of: Standing) -> dict[str, Floats]:
    """What is scored, each so that more is better."""
    return {"recency": -of.quiet, "frequency": of.orders.astype(np.float64), "money": of.spent}


def _logarithms(of: Standing) -> dict[str, Floats]:
    """What is divided into groups: logarithms, because twice as much counts the same anywhere."""
    return {
        "recency": np.log1p(of.quiet),
        "frequency": np.log(np.maximum(of.orders, 1)),
        "money": np.log1p(of.spent),
    }


def _short(value: float) -> float:
    return float(f"{value:.10g}") if isinstance(value, float) else value


def _rounded(values: Floats) -> list[float]:
    """Ten digits: what arithmetic in another order can change is not kept."""
    return [float(f"{value:.10g}") for value in values.tolist()]
