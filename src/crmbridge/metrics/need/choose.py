"""Which inputs the model may use: the design, and what became of every other input."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from crmbridge.metrics.base import MetricSettings
from crmbridge.metrics.need.card import Inventory
from crmbridge.metrics.need.columns import Column
from crmbridge.metrics.need.design import Design, Field, plan_field
from crmbridge.metrics.need.inputs import Inputs
from crmbridge.metrics.need.leaks import find_leak
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
) -> tuple[Design, Inventory]:
    """The design from the training's inputs, guarded against what only the outcome filled in.

    `exclude` and `include` of the settings name inputs with or without the `attributes.` before them.
    """
    inventory = Inventory()
    fields = []
    for name in sorted(past.columns):
        column = past.columns[name]
        label = text.label(name, settings.window_days)
        if _is_named(name, settings.exclude):
            inventory.excluded.append(name)
            continue
        planned = plan_field(column)
        if isinstance(planned, str):
            inventory.dropped.append({"name": name, "label": label, "reason": text.DROPPED[planned]})
            continue
        assumed = past.assumed(object_name, name)
        if assumed.any():
            now = current.get(name, Column(name, np.zeros(0, np.bool_)))
            suspect = find_leak(planned, column, cases, assumed, now)
            if suspect is not None:
                row = {
                    "name": name,
                    "label": label,
                    "code": suspect.code,
                    "reason": text.leak(suspect.code, suspect.figures, object_name),
                }
                if not _is_named(name, settings.include):
                    inventory.blocked.append(row)
                    continue
                inventory.included.append(name)
        fields.append(planned)
        inventory.used.append(_used(planned, label, int((assumed & column.present).sum())))
    return Design(tuple(fields)), inventory


def _is_named(name: str, names: tuple[str, ...]) -> bool:
    return any(name in (each, ATTRIBUTE_PREFIX + each) for each in names)


def _used(field: Field, label: str, assumed: int) -> dict[str, Any]:
    return {
        "name": field.name,
        "label": label,
        "kind": field.kind,
        "levels": len(field.levels),
        "assumed": assumed,
    }
