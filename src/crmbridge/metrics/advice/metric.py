"""The advice metric: the next action of every open lead and deal, and the manager's changes."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, ClassVar, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import JsonValue

from crmbridge.metrics.advice.actions import Known, next_actions, with_contact
from crmbridge.metrics.advice.changes import changes, money_of
from crmbridge.metrics.advice.events import NEVER, History, one, read_history
from crmbridge.metrics.advice.learn import Learned, learn
from crmbridge.metrics.advice.texts import LANGUAGES
from crmbridge.metrics.arrays import Ids, Mask, numbers, truths
from crmbridge.metrics.base import Frame, Metric, MetricSettings
from crmbridge.metrics.days import micros
from crmbridge.metrics.need.ids import Lookup
from crmbridge.model.fields import result_schema
from crmbridge.model.records import ObjectName
from crmbridge.model.results import Model, Results

NAME_LENGTH: Final = 60
"""Letters of a contact's or a stage's name that are said."""
KEPT: Final = 0.5
"""A field that fewer closed deals carried is one that the organisation does not keep."""
FIELDS: Final = ("amount", "expected_close")


class AdviceMetric(Metric):
    """One next action per open lead and deal, as `Kind: evidence`: the first rule that holds.

    The habits behind the evidence (when calls are answered, after what silence records go cold, which channel
    is answered) are learned from the organisation's own closed records. The table `changes` (of deals) ranks
    what a manager could change by its worth. See docs/metrics-advice.md.
    """

    name: ClassVar[str] = "advice"
    objects: ClassVar[tuple[ObjectName, ...]] = ("lead", "deal")
    needs: ClassVar[tuple[ObjectName, ...]] = ("lead", "deal", "activity", "account", "contact", "rep")
    needs_records: ClassVar[bool] = False
    produces: ClassVar[tuple[str, ...]] = ("next_action",)

    def __init__(self, settings: MetricSettings) -> None:
        super().__init__(settings)
        self._frame: Frame | None = None
        self._histories: dict[str, History] = {}
        self._leads: Learned | None = None

    @property
    def _text(self) -> ModuleType:
        return LANGUAGES[self.settings.language]

    def outcomes(self, object_name: ObjectName, frame: Frame) -> int:
        """The closed records."""
        return int(self._history(object_name, frame).outcomes.closed.sum())

    def fit(self, object_name: ObjectName, frame: Frame) -> Model:
        """Learn habits from the closed records; `provisional` where nothing could be learned."""
        history = self._history(object_name, frame)
        learned = learn(history, micros(frame.moment), frame.zone)
        found = learned.as_json()
        card: dict[str, Any] = {
            "closed": int(history.outcomes.closed.sum()),
            "sampled": int(history.sampled.sum()),
            "calls": int(history.calls.sum()),
            **found,
        }
        return Model(
            metric=self.name,
            object=object_name,
            parameters=cast("Mapping[str, JsonValue]", found),
            card=cast("Mapping[str, JsonValue]", card),
            provisional=learned.cold is None and not learned.hours,
        )

    def apply(self, object_name: ObjectName, frame: Frame, model: Model) -> Results:
        """The next action of every open record; with those of deals, the changes."""
        history = self._history(object_name, frame)
        learned = Learned.from_json(model.parameters)
        if object_name == "lead":
            self._leads = learned
        ids = history.outcomes.ids.filter(pa.array(history.open))
        said, kinds = next_actions(
            history,
            learned,
            self._known(object_name, frame, history, learned),
            micros(frame.moment),
            frame.zone,
            self._text,
            object_name,
        )
        tables = {}
        if object_name == "deal":
            said = with_contact(said, *_contacts(history), kinds, self._text)
            tables["changes"] = self._changes(frame)
        return Results(
            object=object_name,
            values=pa.table(
                {"id": ids, "next_action": said}, schema=result_schema(object_name, self.produces)
            ),
            details=pa.table({"id": ids, "next_action_kind": kinds}),
            tables=tables,
        )

    def _changes(self, frame: Frame) -> pa.Table:
        leads, deals = self._history("lead", frame), self._history("deal", frame)
        learned = self._leads
        if learned is None:
            learned = learn(leads, micros(frame.moment), frame.zone)
        money = money_of(leads, deals)
        return changes(frame, learned.response, money, self.settings.window_days, self._text)

    def _history(self, object_name: ObjectName, frame: Frame) -> History:
        """The history of a frame, read once for fitting and applying."""
        if self._frame is not frame:
            self._frame, self._histories, self._leads = frame, {}, None
        if object_name not in self._histories:
            self._histories[object_name] = read_history(
                frame, object_name, self.settings.window_days, self.settings.seed
            )
        return self._histories[object_name]

    def _known(self, object_name: ObjectName, frame: Frame, history: History, learned: Learned) -> Known:
        records, size = history.records, len(history.outcomes)
        nothing = np.full(size, -1)
        left = _of_former_reps(frame, one(records, "owner_id"))
        if object_name == "lead":
            mailable = truths(one(records, "email").is_valid(), unknown=False)
            return Known(left, mailable, np.full(size, NEVER), nothing, nothing, (), (), nothing, FIELDS)
        expected = one(records, "expected_close").cast(pa.int32()).cast(pa.int64())
        dated = truths(expected.is_valid(), unknown=False)
        missing = nothing.copy()
        for place, name in reversed(list(enumerate(FIELDS))):
            share = learned.filled[name]
            if share.hits >= KEPT * max(share.n, 1):
                there = dated if name == "expected_close" else np.isfinite(numbers(one(records, name)))
                missing[~there] = place
        stage, in_stage, stages, usual = _stuck(frame, history)
        return Known(
            left=left,
            has_email=np.ones(size, bool),
            expected=np.where(dated, expected.fill_null(0).to_numpy(), NEVER),
            stage=stage,
            in_stage=in_stage,
            stages=stages,
            usual=usual,
            missing=missing,
            fields=FIELDS,
        )


def _of_former_reps(frame: Frame, owner: pa.Array) -> Mask:
    """Whether the owner is a rep who is said not to be active any more."""
    reps = frame.table("rep", ("id", "is_active"))
    left = reps.filter(pc.equal(reps["is_active"], False))
    return truths(pc.is_in(owner, value_set=one(left, "id")), unknown=False)


def _stuck(frame: Frame, history: History) -> tuple[Any, Any, list[str], list[int]]:
    """The place of each stuck deal's stage, its days there, the stages and their usual days, as the pipeline
    metric says in the same run."""
    size = len(history.outcomes)
    place, days = np.full(size, -1), np.zeros(size, np.int64)
    found = frame.results("pipeline", "deal", ("id", "days_in_stage", "typical_days", "stuck"))
    if found is None:
        return place, days, [], []
    found = found.filter(pc.and_(pc.fill_null(found["stuck"], False), found["typical_days"].is_valid()))
    row = Lookup(history.outcomes.ids).rows(one(found, "id"))
    known = (row >= 0) & one(history.records, "stage").is_valid().to_numpy(zero_copy_only=False)[row]
    row, found = row[known], found.filter(pa.array(known))
    names = Ids(pa.array([], pa.string()))
    place[row] = names.number(one(history.records, "stage").take(pa.array(row)))
    days[row] = one(found, "days_in_stage").to_numpy().astype(np.int64)
    usual = np.zeros(len(names), np.int64)
    usual[place[row]] = np.ceil(one(found, "typical_days").to_numpy()).astype(np.int64)
    return place, days, [name[:NAME_LENGTH] for name in names.values.to_pylist()], usual.tolist()


def _contacts(history: History) -> tuple[pa.Array, pa.Array]:
    """The title of whom to speak to on each open deal, null where there is none: of the contact who answered
    last; of the deal's own contact. No names: a person who is to be forgotten must not stand in the texts of
    other records.
    """
    people = history.contacts
    title = pc.utf8_slice_codeunits(pc.utf8_trim_whitespace(one(people, "title")), 0, NAME_LENGTH)
    title = pc.if_else(pc.equal(title, ""), pa.scalar(None, pa.string()), title)
    own = Lookup(one(people, "id")).rows(one(history.records, "contact_id"))
    answered, of_deal = (
        title.take(pa.array(row[history.open], mask=row[history.open] < 0)) for row in (history.answered, own)
    )
    return answered, of_deal
