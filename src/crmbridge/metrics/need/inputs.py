"""Which inputs there are for an object, and their values per case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.metrics.base import Frame
from crmbridge.metrics.days import DAY, HOUR, calendar_days, micros
from crmbridge.metrics.need.arrays import UNKNOWN, Flags, Ints, pieces
from crmbridge.metrics.need.closing import MOST, Closings
from crmbridge.metrics.need.columns import EMPTY, SINCE, Column
from crmbridge.metrics.need.design import AGE
from crmbridge.metrics.need.ids import Lookup, uniform
from crmbridge.metrics.need.leaks import FEWEST
from crmbridge.metrics.need.links import ContactLinks, is_linked_in_time
from crmbridge.metrics.need.outcomes import Outcomes, first_seen_closed
from crmbridge.metrics.need.owners import OWNER_RECORD, OwnersRecord, owner_texts, read_owners
from crmbridge.metrics.need.snapshots import Cases, Mode, read_orders
from crmbridge.metrics.need.state import read_as_of, read_now
from crmbridge.metrics.need.windows import order_columns, read_contacts, read_stages
from crmbridge.model.columns import ATTRIBUTE_PREFIX, attribute_column
from crmbridge.model.fields import is_own_name
from crmbridge.model.records import IMMUTABLE, ObjectName

FIELDS: Final[Mapping[ObjectName, tuple[str, ...]]] = {
    "lead": (
        "owner_id",
        "company",
        "title",
        "email",
        "phone",
        "industry",
        "employees",
        "annual_revenue",
        "country",
        "lead_source",
    ),
    "deal": ("owner_id", "amount", "currency", "type", "lead_source"),
    "account": ("owner_id", "industry", "employees", "annual_revenue", "country", "website"),
}
"""The model's own fields that are inputs. Names of persons, ids and everything that tells the outcome are
not.
"""
ACCOUNT_FIELDS: Final = ("industry", "employees", "annual_revenue", "country")
ACCOUNT_PREFIX: Final = "account."
ACCOUNT_ORDERS_PREFIX: Final = "account_"
LINKS: Final[Mapping[ObjectName, str]] = {"lead": "lead_id", "deal": "deal_id", "account": "account_id"}
_CLOSING_STREAM: Final = 11
_KNOWN_ONLY: Final = ("stage", "expected_close")
"""Fields of a deal that closing overwrites: without the version in force nothing is known of them."""


@dataclass(frozen=True)
class Inputs:
    """Inputs per case. `assumed` names the columns whose values are taken from a later version in the cases
    where `state_assumed` (or `account_assumed`) says so."""

    columns: Mapping[str, Column]
    state_assumed: Flags
    account_assumed: Flags

    def assumed(self, object_name: ObjectName, name: str) -> Flags:
        """Per case, whether the column's value was not known at the moment but is assumed to have held."""
        name = name.removeprefix(SINCE)
        if name.startswith((ACCOUNT_PREFIX, ACCOUNT_ORDERS_PREFIX)):
            return self.account_assumed
        if name in FIELDS[object_name] or name.startswith(ATTRIBUTE_PREFIX):
            return self.state_assumed & (name not in IMMUTABLE[object_name])
        return np.zeros(len(self.state_assumed), np.bool_)


def is_of_record(name: str) -> bool:
    """Whether the input is a field of the record or its account, not a sum over what happened."""
    own = {field for fields in FIELDS.values() for field in fields}
    return name in own or name.removeprefix(SINCE).startswith((ATTRIBUTE_PREFIX, ACCOUNT_PREFIX))


def field_names(frame: Frame, object_name: ObjectName) -> list[str]:
    """Fields and attributes of the object that may be inputs, as column names of the frame."""
    found = frame.attribute_names(object_name)
    return [*FIELDS[object_name], *(attribute_column(name) for name in found if not is_own_name(name))]


def account_field_names(frame: Frame) -> list[str]:
    found = frame.attribute_names("account")
    return [*ACCOUNT_FIELDS, *(attribute_column(name) for name in found if not is_own_name(name))]


class Reader:
    """Reads the inputs of one object from one frame."""

    def __init__(
        self,
        frame: Frame,
        object_name: ObjectName,
        window_days: int,
        mode: Mode,
        outcomes: Outcomes | None,
        *,
        follows_contacts: bool | None = None,
    ) -> None:
        """`outcomes` of leads and deals. `follows_contacts`: whether activities filed with a contact alone
        count; where it is not said, unless contacts are linked at closing."""
        self._frame = frame
        self._object = object_name
        self._window_days = window_days
        self._in_time = mode == "moments"
        self._outcomes = outcomes
        if follows_contacts is None:
            follows_contacts = self._in_time and self._are_contacts_linked_in_time()
        self.follows_contacts = follows_contacts

    def past(self, cases: Cases, created: Ints) -> Inputs:
        """The inputs as of each case's moment. `created` (microseconds) per case."""
        if not self._in_time:
            return self._as_it_stands(cases)
        ended = None if self._outcomes is None else self._outcomes.end[cases.record]
        names = field_names(self._frame, self._object)
        extra = list(_KNOWN_ONLY) if self._object == "deal" else []
        state = read_as_of(
            self._frame, self._object, cases.ids, cases.record, cases.moment, [*names, *extra], ended
        )
        columns = _with_owner_as_category(state.columns)
        for name in extra:
            columns[name] = columns[name].without(state.assumed)
        account_assumed = np.zeros(len(cases), np.bool_)
        if self._object == "deal":
            account = self._accounts(cases)
            ids, row = account
            joined = read_as_of(
                self._frame, "account", ids, row, cases.moment, account_field_names(self._frame)
            )
            columns |= _renamed(joined.columns)
            # Which account a deal belongs to is itself a field that may have been filled in later.
            account_assumed = joined.assumed | state.assumed
        if self._object != "account":
            owner = owner_texts(columns["owner_id"])
            columns[OWNER_RECORD] = self._owners_record().as_of(owner, cases.moment)
        columns = self._with_events(columns, cases, created)
        columns = since_dates(columns, calendar_days(cases.moment, self._frame.zone))
        return Inputs(columns, state.assumed, account_assumed)

    def now(self, cases: Cases, known: Mapping[str, Sequence[str]]) -> Inputs:
        """The inputs of records as they stand, at the frame's moment. `known`: a model's levels by column."""
        columns = self.fields(cases, known)
        nothing = np.zeros(len(cases), np.bool_)
        if not self._in_time:
            return Inputs(columns, nothing, nothing)
        if OWNER_RECORD in known:
            owner = read_owners(self._frame, self._object, cases.ids)
            columns[OWNER_RECORD] = self._owners_record().as_of(owner, cases.moment)
        columns = self._with_events(columns, cases, cases.order)
        return Inputs(columns, nothing, nothing)

    def _contacts(self, cases: Cases) -> dict[str, Column]:
        through = ContactLinks(self._frame, self._object, cases.ids) if self.follows_contacts else None
        return read_contacts(self._frame, cases, LINKS[self._object], self._window_days, through)

    def _are_contacts_linked_in_time(self) -> bool:
        if self._object != "deal" or self._outcomes is None:
            return self._object == "account"  # a contact's account is no matter of closing
        links = ContactLinks(self._frame, "deal", self._outcomes.ids)
        return is_linked_in_time(links.linked, self._outcomes.closed)

    def _owners_record(self) -> OwnersRecord:
        if self._outcomes is None:
            raise ValueError("the owners' record needs the outcomes of the records")
        return OwnersRecord(self._frame, self._object, self._outcomes)

    def _as_it_stands(self, cases: Cases) -> Inputs:
        found = self.fields(cases)
        columns = {name: found[name].take(cases.record) for name in found if name not in _KNOWN_ONLY}
        every = np.ones(len(cases), np.bool_)
        return Inputs(columns, every, every)

    def fields(self, cases: Cases, known: Mapping[str, Sequence[str]] | None = None) -> dict[str, Column]:
        """The fields of records and their accounts as they stand, one row per id; dates as the days since."""
        names = field_names(self._frame, self._object)
        extra = list(_KNOWN_ONLY) if self._object == "deal" else []
        columns = read_now(self._frame, self._object, cases.ids, [*names, *extra], known)
        columns = _with_owner_as_category(columns)
        if self._object == "deal":
            ids, row = self._accounts_of(cases.ids)
            fields = account_field_names(self._frame)
            levels = None if known is None else {n: known.get(ACCOUNT_PREFIX + n, ()) for n in fields}
            joined = read_now(self._frame, "account", ids, fields, levels)
            columns |= _renamed(_spread(joined, row, len(ids)))
        today = int(calendar_days(np.array([micros(self._frame.moment)]), self._frame.zone)[0])
        return since_dates(columns, np.full(len(cases.ids), today))

    def closings(self, outcomes: Outcomes, seed: int) -> Closings:
        """The fields before and after closing of the records that were seen open, then closed; of at most
        MOST of them, drawn by their ids."""
        frame = self._frame
        closed = outcomes.ids.filter(pa.array(outcomes.closed))
        seen = first_seen_closed(frame, self._object, closed)
        rows = np.flatnonzero(seen != UNKNOWN)
        if len(rows) < FEWEST:
            return Closings()
        if len(rows) > MOST:
            rows = rows[np.argsort(uniform(closed.take(pa.array(rows)), seed, _CLOSING_STREAM))[:MOST]]
            rows = np.sort(rows)
        ids, shortly_before = closed.take(pa.array(rows)), seen[rows] - HOUR
        place, names = np.arange(len(rows)), field_names(frame, self._object)
        state = read_as_of(frame, self._object, ids, place, shortly_before, names)
        before = dict(state.columns)
        after = read_now(frame, self._object, ids, names)
        unknown: dict[str, Flags] = {}
        if self._object == "deal":
            fields = account_field_names(frame)
            accounts, row = self._accounts_of(ids)
            joined = read_as_of(frame, "account", accounts, row, shortly_before, fields)
            then = _renamed(joined.columns)
            before |= then
            unknown = dict.fromkeys(then, joined.assumed)
            after |= _renamed(_spread(read_now(frame, "account", accounts, fields), row, len(accounts)))
        day = calendar_days(seen[rows], frame.zone)
        before, after = since_dates(before, day), since_dates(after, day)
        unknown |= {SINCE + name: where for name, where in unknown.items()}
        return Closings(outcomes.positive[outcomes.closed][rows], before, after, unknown)

    def _accounts(self, cases: Cases) -> tuple[pa.Array, Ints]:
        ids, row = self._accounts_of(cases.ids)
        return ids, row[cases.record]

    def _accounts_of(self, deals: pa.Array) -> tuple[pa.Array, Ints]:
        """The accounts' ids, ordered, and each deal's row among them, -1 for none."""
        links, lookup = np.full(len(deals), None, dtype=object), Lookup(deals)
        for slab in pieces(self._frame, "deal", ["id", "account_id"]):
            row = lookup.rows(slab["id"])
            links[row[row >= 0]] = slab["account_id"].to_numpy(zero_copy_only=False)[row >= 0]
        linked = pa.array(links, pa.string())
        ids = pc.unique(linked.drop_null())
        ids = ids.take(pc.sort_indices(ids))
        return ids, Lookup(ids).rows(linked)

    def _with_events(self, columns: dict[str, Column], cases: Cases, created: Ints) -> dict[str, Column]:
        columns |= self._contacts(cases)
        if self._object == "deal":
            close = columns.pop("expected_close")
            if close.numbers is not None:
                days = close.numbers - cases.moment // DAY
                columns["days_to_expected_close"] = Column.of_numbers("days_to_expected_close", days)
            columns |= read_stages(self._frame, cases, columns.pop("stage"), created)
            ids, row = self._accounts(cases)
            orders = order_columns(*read_orders(self._frame, ids), row, cases.moment, self._frame.zone)
            for name in ("orders", "days_since_order"):
                joined_name = ACCOUNT_ORDERS_PREFIX + name
                columns[joined_name] = Column.of_numbers(joined_name, _numbers(orders[name]))
        if self._object == "account":
            placed = read_orders(self._frame, cases.ids)
            columns |= order_columns(*placed, cases.record, cases.moment, self._frame.zone)
        else:
            columns[AGE] = Column.of_numbers(AGE, np.where(cases.age < 0, np.nan, cases.age))
        return columns


def _with_owner_as_category(columns: Mapping[str, Column]) -> dict[str, Column]:
    """Ids of owners are names, even where they are spelled in digits."""
    owner = columns["owner_id"]
    return {**columns, "owner_id": replace(owner, numbers=None, is_number=False, is_date=False)}


def _numbers(found: Column) -> np.ndarray:
    return found.numbers if found.numbers is not None else np.full(len(found), np.nan)


def _renamed(columns: Mapping[str, Column]) -> dict[str, Column]:
    """An account's columns under the names they have as inputs of a deal."""
    return {
        ACCOUNT_PREFIX + name: replace(found, name=ACCOUNT_PREFIX + name) for name, found in columns.items()
    }


def since_dates(columns: Mapping[str, Column], day: Ints) -> dict[str, Column]:
    """The columns with every date as the days from it to `day` (per row, days since 1970-01-01): negative
    where it lies ahead.
    """
    found = {}
    for name, column in columns.items():
        if column.is_date and column.numbers is not None:
            found[SINCE + name] = Column.of_numbers(SINCE + name, day - column.numbers)
        else:
            found[name] = column
    return found


def _spread(columns: Mapping[str, Column], row: Ints, accounts: int) -> dict[str, Column]:
    """The accounts' columns per deal; `row` is its account, -1 for none."""
    place = np.where(row < 0, accounts, row)
    return {name: _with_empty_row(found).take(place) for name, found in columns.items()}


def _with_empty_row(found: Column) -> Column:
    """The column with one more row, which is empty."""
    return replace(
        found,
        present=np.append(found.present, False),
        numbers=None if found.numbers is None else np.append(found.numbers, np.nan),
        codes=None if found.codes is None else np.append(found.codes, np.int32(EMPTY)),
    )
