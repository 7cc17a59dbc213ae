"""Pipelines and what a deal's history says of its way through them.

developers.hubspot.com/docs/api-reference/latest/crm/pipelines/guide: a stage's metadata are texts. A history
comes newest first, at most the last 20 values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from crmbridge.connectors.base import SetAside
from crmbridge.connectors.hubspot.answers import ABSENT, Json, Refused, listed
from crmbridge.connectors.hubspot.client import Client
from crmbridge.connectors.hubspot.moments import milliseconds, moment
from crmbridge.model.records import StageChange

HISTORY: Final = 20
"""Former values that HubSpot keeps."""
_LEAD_STAGES: Final[Mapping[str, str]] = {
    "qualified-stage-id": "QUALIFIED",
    "unqualified-stage-id": "UNQUALIFIED",
}
"""The stages every lead pipeline starts with, where neither the lead nor its pipeline says the category."""


@dataclass(frozen=True)
class Stage:
    """What being in a stage means. `label` is its name on the screen, with its pipeline's where another
    pipeline has a stage of that name.
    """

    label: str
    is_closed: bool
    is_won: bool
    category: str | None


@dataclass(frozen=True)
class Stages:
    """The stages of all pipelines of one object type, by id."""

    by_id: Mapping[str, Stage] = field(default_factory=dict)

    def of(self, identifier: str) -> Stage | None:
        """The stage, or None where it is deleted."""
        return self.by_id.get(identifier)

    def label(self, identifier: str) -> str:
        """The stage's name on the screen; of a deleted stage there is only its id."""
        stage = self.by_id.get(identifier)
        return stage.label if stage is not None else identifier

    def category(self, identifier: str) -> str | None:
        """NEW, IN_PROGRESS, QUALIFIED or UNQUALIFIED of a lead's stage, where it is known."""
        stage = self.by_id.get(identifier)
        return (stage.category if stage else None) or _LEAD_STAGES.get(identifier)


def read_stages(client: Client, kind: str) -> Stages:
    """The stages there are; none where the portal or the key has no pipelines of this type."""
    try:
        body = client.get(client.paths.pipelines.format(kind), check=listed)
    except Refused as error:
        if error.status not in ABSENT:
            raise
        client.context.log("hubspot.no_pipelines", object=kind, code=error.code)
        return Stages()
    found = [
        (str(stage.get("id")), str(stage.get("label") or stage.get("id")), pipeline, stage)
        for pipeline in body["results"]
        for stage in pipeline.get("stages") or ()
    ]
    labels = Counter(label for _, label, _, _ in found)
    whole = Counter(_of_pipeline(label, pipeline) for _, label, pipeline, _ in found)
    stages = {}
    for identifier, label, pipeline, raw in found:
        if labels[label] > 1:
            label = _of_pipeline(label, pipeline)
            label = label if whole[label] == 1 else identifier
        stages[identifier] = _stage(label, raw)
    return Stages(stages)


def _of_pipeline(label: str, pipeline: Json) -> str:
    return f"{label} ({pipeline.get('label') or pipeline.get('id')})"


def _stage(label: str, raw: Json) -> Stage:
    metadata = raw.get("metadata") or {}
    is_closed = str(metadata.get("isClosed")).lower() == "true"
    try:
        is_won = is_closed and float(metadata.get("probability") or 0) >= 1
    except (TypeError, ValueError):
        is_won = False
    category = metadata.get("leadState")
    return Stage(label, is_closed, is_won, str(category).upper() if category else None)


def is_cut(deal: Mapping[str, Any]) -> bool:
    """Whether the deal's history may have begun before its oldest entry."""
    return len((deal.get("propertiesWithHistory") or {}).get("dealstage") or ()) >= HISTORY


def stage_changes(
    deal: Mapping[str, Any], reps: Mapping[str, str], stages: Stages
) -> tuple[list[StageChange], list[SetAside]]:
    """The changes of a deal's stage, oldest first. `reps` gives the owner of a user's id; the stages
    are named by their labels.

    A value written again is no change. Of several within a millisecond the order is HubSpot's. Of a history
    that was cut off the oldest entry is left out: from which stage it came is not known any more, and was
    perhaps told when it was.
    """
    identifier = str(deal["id"])
    entries = (deal.get("propertiesWithHistory") or {}).get("dealstage") or ()
    found: list[StageChange] = []
    aside: list[SetAside] = []
    former: str | None = None
    taken: dict[int, int] = {}
    ordered = _oldest_first(entries)
    if is_cut(deal):
        former = str(ordered.pop(0).get("value") or "") or None
    for entry in ordered:
        stage = str(entry.get("value") or "")
        if not stage or stage == former:
            continue
        try:
            at = moment(entry.get("timestamp"))
        except ValueError:
            at = None
        if at is None:
            aside.append(SetAside("stage_change", f"deals {identifier}", "at: a change without a moment"))
            continue
        stamp = milliseconds(at)
        taken[stamp] = taken.get(stamp, 0) + 1
        suffix = f"-{taken[stamp]}" if taken[stamp] > 1 else ""
        user = entry.get("updatedByUserId")
        found.append(
            StageChange(
                id=f"{identifier}-{stamp}{suffix}",
                created_at=at,
                deal_id=identifier,
                from_stage=None if former is None else stages.label(former),
                to_stage=stages.label(stage),
                at=at,
                rep_id=reps.get(str(user)) if user is not None else None,
            )
        )
        former = stage
    return found, aside


def _oldest_first(entries: Sequence[Json]) -> list[Json]:
    """A stable sort of the reversed list: entries of one moment stay in the order they were made."""
    oldest_first = list(entries)
    oldest_first.reverse()
    return sorted(oldest_first, key=lambda entry: _sort_key(entry.get("timestamp")))


def _sort_key(timestamp: object) -> int:
    try:
        at = moment(timestamp)
    except ValueError:
        return 0
    return 0 if at is None else milliseconds(at)
