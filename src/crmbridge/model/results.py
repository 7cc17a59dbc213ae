"""What is computed: a fitted model, and the results of a metric for one object."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, JsonValue
from pydantic_core import to_json

from crmbridge.model.records import ObjectName


class Model(BaseModel):
    """A fitted metric: plain JSON, so that it can be stored, compared and read in ten years.

    `parameters` is what `apply` needs; `card` is what a person reads (see docs/metrics.md). The same data and
    seed give the same bytes, hence the same `name`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    object: ObjectName
    parameters: Mapping[str, JsonValue]
    card: Mapping[str, JsonValue]
    provisional: bool = False

    def to_bytes(self) -> bytes:
        """Canonical JSON of the model."""
        return to_json(self.model_dump(mode="json"), inf_nan_mode="strings")

    @property
    def may_publish(self) -> bool:
        """Whether it may replace the model in use: unless the `gate` of its card says `publish: false`."""
        gate = self.card.get("gate")
        return not isinstance(gate, Mapping) or gate.get("publish") is not False

    @cached_property
    def name(self) -> str:
        """`need-lead-3f9c2a1b`: metric, object and the first eight digits of the content's hash."""
        digest = hashlib.blake2b(self.to_bytes(), digest_size=4).hexdigest()
        return f"{self.metric}-{self.object}-{digest}"


@dataclass(frozen=True)
class Results:
    """What a metric says about the records of one object.

    `values`: one row per record, `id` and a column per field key it produces (types of
    `fields.result_schema`); a null means the metric abstains, and then its reason stands in a text field.
    `details`: any further columns worth keeping for `explain`, report and export (e.g. contributions), row by
    row alongside `values`, or None.
    `tables`: figures of the organisation as a whole, by name.
    """

    object: ObjectName
    values: pa.Table
    details: pa.Table | None = None
    tables: Mapping[str, pa.Table] = field(default_factory=dict)
