"""What is written: the catalogue of crmbridge's own fields. Nothing outside it can ever be written.

Names at the vendor follow from the key by a rule (see each `*_name` function); the catalogue is the one place
that knows which keys exist, on which objects, and of which type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import pyarrow as pa

from crmbridge.model.records import ObjectName

FieldType = Literal["number", "text", "choice", "datetime", "boolean"]
FieldValue = float | str | bool | None
"""A value of one of our fields. A datetime is ISO 8601 text in UTC to the second: `2026-03-31T08:00:00Z`."""


@dataclass(frozen=True)
class Field:
    """One field of the catalogue. `decimals` is for numbers, `length` for texts, `choices` for choices."""

    key: str
    on: tuple[ObjectName, ...]
    type: FieldType
    description: str
    decimals: int = 2
    length: int = 255
    choices: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """`CRMBridge Score Low`. Zoho takes 25 characters: its connector has a table of its own."""
        return "CRMBridge " + " ".join(word.capitalize() for word in self.key.split("_"))

    @property
    def arrow_type(self) -> pa.DataType:
        if self.type == "number":
            return pa.float64()
        return pa.bool_() if self.type == "boolean" else pa.string()


_SCORED: Final[tuple[ObjectName, ...]] = ("lead", "deal", "account")
_EFFICIENCY: Final[tuple[ObjectName, ...]] = ("rep", "account")


def _efficiency(key: str, what: str) -> tuple[Field, ...]:
    return (
        Field(key, _EFFICIENCY, "number", what, decimals=4),
        Field(f"{key}_low", _EFFICIENCY, "number", f"{what}: lower end of the 90 % interval", decimals=4),
        Field(f"{key}_high", _EFFICIENCY, "number", f"{what}: upper end of the 90 % interval", decimals=4),
    )


_ALL: Final[tuple[Field, ...]] = (
    Field("score", _SCORED, "number", "The probability in percent, 0 to 100"),
    Field("score_low", _SCORED, "number", "Lower end of the score's 90 % interval"),
    Field("score_high", _SCORED, "number", "Upper end of the score's 90 % interval"),
    Field("grade", _SCORED, "choice", "A, B, C or D by the score", choices=("A", "B", "C", "D"), length=1),
    Field(
        "score_trend",
        _SCORED,
        "choice",
        "Where the score has been going",
        choices=("rising", "steady", "falling", "new"),
        length=10,
    ),
    Field(
        "reasons_up", _SCORED, "text", "What raises the score, with the organisation's own rates", length=1024
    ),
    Field(
        "reasons_down",
        _SCORED,
        "text",
        "What lowers the score, with the organisation's own rates",
        length=1024,
    ),
    Field("next_action", ("lead", "deal"), "text", "What to do next, and why", length=255),
    Field("scored_at", _SCORED, "datetime", "The moment the score holds for"),
    Field("model", _SCORED, "text", "The model that made the score", length=80),
    Field("segment", ("account",), "text", "The customer group", length=80),
    Field(
        "p_alive", ("account",), "number", "The chance that the customer will order again, 0 to 1", decimals=4
    ),
    Field("value_12m", ("account",), "number", "Expected value of the next 12 months"),
    Field("value_low", ("account",), "number", "Lower end of the value's 90 % interval"),
    Field("value_high", ("account",), "number", "Upper end of the value's 90 % interval"),
    *_efficiency("communication_efficiency", "Positive outcomes per hour of communication"),
    *_efficiency("follow_up_efficiency", "Deals won per hour of follow-up"),
    *_efficiency("order_efficiency", "Orders fulfilled per processing day"),
    Field(
        "time_coverage",
        _EFFICIENCY,
        "number",
        "Share of communications whose time was measured, 0 to 1",
        decimals=4,
    ),
    Field("days_in_stage", ("deal",), "number", "Days the deal has been in its stage", decimals=0),
    Field("typical_days", ("deal",), "number", "Days deals typically stay in this stage", decimals=1),
    Field("stuck", ("deal",), "boolean", "Longer in its stage than such deals usually are"),
    Field("expected_revenue", ("deal",), "number", "Amount times the chance to win"),
    Field(
        "data_quality", ("lead", "contact", "account", "deal"), "number", "How complete and valid, 0 to 100"
    ),
    Field(
        "data_issues", ("lead", "contact", "account", "deal"), "text", "What is missing or wrong", length=1024
    ),
)

CATALOGUE: Final[Mapping[str, Field]] = MappingProxyType({field.key: field for field in _ALL})
CORE: Final[tuple[str, ...]] = (
    "score",
    "grade",
    "reasons_up",
    "reasons_down",
    "next_action",
    "scored_at",
    "model",
)
STAMPS: Final[frozenset[str]] = frozenset({"scored_at", "model"})
"""They go along with a write and never cause one."""


def fields_on(object_name: ObjectName, keys: Iterable[str] = CORE) -> tuple[Field, ...]:
    """The catalogue's fields among `keys` that the object carries, in the catalogue's order.

    Raises KeyError for a key the catalogue does not have.
    """
    wanted = {CATALOGUE[key].key for key in keys}
    return tuple(field for field in _ALL if field.key in wanted and object_name in field.on)


def result_schema(object_name: ObjectName, keys: Iterable[str]) -> pa.Schema:
    """The columns of a table of results or of values held: `id`, then a column per field."""
    return pa.schema(
        [pa.field("id", pa.string(), nullable=False)]
        + [pa.field(field.key, field.arrow_type) for field in fields_on(object_name, keys)]
    )


def salesforce_name(key: str) -> str:
    """`score_low` -> `CRMBridge_Score_Low__c`."""
    return "CRMBridge_" + "_".join(word.capitalize() for word in CATALOGUE[key].key.split("_")) + "__c"


def plain_name(key: str) -> str:
    """`score_low` -> `crmbridge_score_low`: for a CRM that has no rule of its own for custom names."""
    return f"crmbridge_{CATALOGUE[key].key}"


def hubspot_name(key: str) -> str:
    """`score_low` -> `crmbridge_score_low`; exported files use the same names."""
    return plain_name(key)


def is_own_name(name: str) -> bool:
    """Whether a CRM's field is ours by its name, at any vendor: such fields are never inputs."""
    folded = name.lower().replace(" ", "_")
    return folded.startswith(("crmbridge_", "x_crmbridge_")) or "__crmbridge_" in folded
