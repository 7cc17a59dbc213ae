"""Which inputs the model may use: the design, and what became of every other input."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from crmbridge.metrics.base import MetricSettings
from crmbridge.metrics.need.arena import Rival, is_rival
from crmbridge.metrics.need.arrays import Flags
from crmbridge.metrics.need.card import Inventory
from crmbridge.metrics.need.closing import Closings, find_leak_at_closing, is_of_closing
from crmbridge.metrics.need.columns import SINCE, Column
from crmbridge.metrics.need.design import Design, Field, Unfit, plan_field
from crmbridge.metrics.need.inputs import Inputs, is_of_record
from crmbridge.metrics.need.leaks import Suspect, find_leak
from crmbridge.metrics.need.snapshots import Cases
from crmbridge.model.columns import ATTRIBUTE_PREFIX
from crmbridge.model.records import ObjectName


def choose_inputs(
    object_name: ObjectName,
    settings: MetricSettings,
    text: ModuleType,
    cases: Cases,
    past: Inputs,
    current: Mapping[str, Column],
    closings: Closings,
) -> tuple[Design, Inventory]:
    """The design from the training's inputs, guarded against what only the outcome filled in.

    Another score the CRM holds is never an input. `exclude` and `include` of the settings name inputs with or
    without the `attributes.` before them.
    """
    inventory = Inventory()
    fields = []
    for name in sorted(past.columns):
        column = past.columns[name]
        label = text.label(name, settings.window_days)
        if is_rival(name, settings.rivals):
            in_time = ~past.assumed(object_name, name)
            inventory.rivals.append(Rival(label, column, in_time))
            continue
        if _is_named(name, settings.exclude):
            inventory.excluded.append(name)
            continue
        planned = plan_field(column)
        assumed = past.assumed(object_name, name)
        now = current.get(name, Column(name, np.zeros(0, np.bool_)))
        suspect = _suspect(name, planned, column, cases, assumed, now, closings)
        if suspect is not None and not _is_named(name, settings.include):
            reason = text.leak(suspect.code, suspect.figures, object_name)
            inventory.blocked.append({"name": name, "label": label, "code": suspect.code, "reason": reason})
            continue
        if isinstance(planned, str):
            inventory.dropped.append({"name": name, "label": label, "reason": text.DROPPED[planned]})
            continue
        if suspect is not None:
            inventory.included.append(name)
        fields.append(planned)
        inventory.used.append(_used(planned, label, int((assumed & column.present).sum())))
    return Design(tuple(fields)), inventory


def _suspect(
    name: str,
    planned: Field | Unfit,
    column: Column,
    cases: Cases,
    assumed: Flags,
    current: Column,
    closings: Closings,
) -> Suspect | None:
    """Why the input may give the outcome away, or None."""
    if is_of_record(name) and is_of_closing(name) and column.present.any():
        return Suspect("of_closing", {})
    found = find_leak_at_closing(name, closings, current, bool(assumed.any()))
    if found is None and not isinstance(planned, str) and assumed.any():
        found = find_leak(planned, column, cases, assumed, current)
    return found


def _is_named(name: str, names: tuple[str, ...]) -> bool:
    own = name.removeprefix(SINCE)
    return any(own in (each, ATTRIBUTE_PREFIX + each) for each in names)


def _used(field: Field, label: str, assumed: int) -> dict[str, Any]:
    return {
        "name": field.name,
        "label": label,
        "kind": field.kind,
        "levels": len(field.levels),
        "assumed": assumed,
    }
