"""What is pulled: the records every CRM's objects become.

Ids are the CRM's own and always text. Moments are aware and in UTC. Money is `Decimal` with at most nine
decimals. Every other readable field of the CRM goes into `attributes` as a JSON scalar under its own name.
A field that the CRM did not show is absent (not in `model_fields_set`), which is not the same as null.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

Scalar = str | int | float | bool | None
ObjectName = Literal["lead", "contact", "account", "deal", "stage_change", "activity", "order", "rep"]
ActivityKind = Literal["call", "meeting", "email", "task", "note", "other"]
Direction = Literal["inbound", "outbound"]
Outcome = Literal["connected", "no_answer", "voicemail", "held", "no_show", "replied", "sent", "other"]

MONEY_DECIMALS: Final = 9
MONEY_DIGITS: Final = 38
_SMALLEST: Final = Decimal(1).scaleb(-MONEY_DECIMALS)
_EXACT: Final = Context(prec=2 * MONEY_DIGITS)


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def _money(amount: Decimal) -> Decimal:
    exponent = amount.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -MONEY_DECIMALS and amount.adjusted() < MONEY_DIGITS:
        # `round` works in Decimal's default precision of 28 digits, and fails beyond it.
        amount = amount.quantize(_SMALLEST, context=_EXACT)
    if amount.adjusted() >= MONEY_DIGITS - MONEY_DECIMALS:
        raise ValueError(f"an amount has at most {MONEY_DIGITS - MONEY_DECIMALS} digits before the point")
    return amount


def _seconds(value: float | None) -> float | None:
    if value is not None and value < 0:
        raise ValueError("a duration can't be negative")
    return value


Id = Annotated[str, Field(min_length=1, max_length=255)]
Moment = Annotated[AwareDatetime, AfterValidator(_utc)]
Money = Annotated[Decimal, AfterValidator(_money)]
Seconds = Annotated[float, Field(allow_inf_nan=False), AfterValidator(_seconds)]
Count = Annotated[int, Field(ge=0, le=2**62)]


class Record(BaseModel):
    """What every record has. `created_at` is None only where the source does not know it."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", cache_strings="keys", str_strip_whitespace=False, allow_inf_nan=False
    )
    object_name: ClassVar[ObjectName]

    id: Id
    created_at: Moment | None = None
    modified_at: Moment | None = None
    owner_id: Id | None = None
    attributes: Mapping[str, Scalar] = Field(default_factory=dict)


class Account(Record):
    object_name: ClassVar[ObjectName] = "account"
    name: str | None = None
    industry: str | None = None
    employees: Count | None = None
    annual_revenue: Money | None = None
    country: str | None = None
    website: str | None = None


class Contact(Record):
    object_name: ClassVar[ObjectName] = "contact"
    account_id: Id | None = None
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    title: str | None = None
    lead_source: str | None = None


class Lead(Record):
    object_name: ClassVar[ObjectName] = "lead"
    first_name: str | None = None
    last_name: str | None = None
    company: str | None = None
    title: str | None = None
    email: str | None = None
    phone: str | None = None
    industry: str | None = None
    employees: Count | None = None
    annual_revenue: Money | None = None
    country: str | None = None
    lead_source: str | None = None
    status: str | None = None
    is_converted: bool | None = None
    converted_at: Moment | None = None
    converted_account_id: Id | None = None
    converted_contact_id: Id | None = None
    converted_deal_id: Id | None = None
    is_disqualified: bool | None = None
    closed_at: Moment | None = None


class Deal(Record):
    object_name: ClassVar[ObjectName] = "deal"
    name: str | None = None
    account_id: Id | None = None
    contact_id: Id | None = None
    lead_id: Id | None = None
    amount: Money | None = None
    currency: str | None = None
    stage: str | None = None
    is_closed: bool | None = None
    is_won: bool | None = None
    type: str | None = None
    lead_source: str | None = None
    expected_close: date | None = None
    closed_at: Moment | None = None


class StageChange(Record):
    object_name: ClassVar[ObjectName] = "stage_change"
    deal_id: Id
    from_stage: str | None = None
    to_stage: str
    at: Moment
    rep_id: Id | None = None


class Activity(Record):
    """A call, meeting, email or task. `duration` is in seconds, None where it was not measured."""

    object_name: ClassVar[ObjectName] = "activity"
    kind: ActivityKind
    direction: Direction | None = None
    subject: str | None = None
    lead_id: Id | None = None
    contact_id: Id | None = None
    account_id: Id | None = None
    deal_id: Id | None = None
    started_at: Moment | None = None
    ended_at: Moment | None = None
    duration: Seconds | None = None
    outcome: Outcome | None = None
    is_completed: bool | None = None


class Order(Record):
    object_name: ClassVar[ObjectName] = "order"
    account_id: Id | None = None
    deal_id: Id | None = None
    amount: Money | None = None
    currency: str | None = None
    ordered_at: Moment | None = None
    fulfilled_at: Moment | None = None
    status: str | None = None


class Rep(Record):
    object_name: ClassVar[ObjectName] = "rep"
    name: str | None = None
    email: str | None = None
    is_active: bool | None = None
    role: str | None = None


RECORDS: Final[Mapping[ObjectName, type[Record]]] = MappingProxyType(
    {
        record.object_name: record
        for record in (Lead, Contact, Account, Deal, StageChange, Activity, Order, Rep)
    }
)
OBJECTS: Final[tuple[ObjectName, ...]] = tuple(RECORDS)

IMMUTABLE: Final[Mapping[ObjectName, frozenset[str]]] = MappingProxyType(
    {
        # Known before a record's first version in the lake: they do not change after creation.
        "lead": frozenset({"id", "created_at", "lead_source"}),
        "contact": frozenset({"id", "created_at", "lead_source"}),
        "account": frozenset({"id", "created_at"}),
        "deal": frozenset({"id", "created_at", "lead_source", "lead_id"}),
        "stage_change": frozenset({"id", "created_at", "deal_id", "from_stage", "to_stage", "at", "rep_id"}),
        "activity": frozenset({"id", "created_at"}),
        "order": frozenset({"id", "created_at", "account_id", "ordered_at"}),
        "rep": frozenset({"id", "created_at"}),
    }
)


@cache
def page_adapter(object_name: ObjectName) -> TypeAdapter[list[Any]]:
    """The adapter that validates a whole page of one object at once.

    `page_adapter("lead").validate_python(rows)` and `.validate_json(body)` return a list of records and raise
    pydantic's `ValidationError`, whose `errors()` name the row by the first item of `loc`.
    """
    record: Any = RECORDS[object_name]
    return TypeAdapter(list[record])
