"""Cells become the common model's columns. Pure: tables in, tables out.

What the vector code does not read exactly is read by the model's own rule, cell by cell; a row with a cell
that no rule reads is set aside with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.connectors.base import SetAside
from crmbridge.connectors.files.cells import FieldRule, field_rules
from crmbridge.connectors.zoho.objects import FORMER, NUMBERS, OUTCOMES, PARENTS, STATUS_OUTCOMES, Module
from crmbridge.connectors.zoho.options import Stages
from crmbridge.connectors.zoho.schema import ModuleFields, ZohoField, is_ours
from crmbridge.model.columns import ABSENT, attribute_column, schema, to_table
from crmbridge.model.fields import CATALOGUE, FieldValue
from crmbridge.model.records import ObjectName

_RAW_LENGTH: Final = 500
LONGEST_ID: Final = 255
_MOMENT: Final = pa.timestamp("us", "UTC")
_UTC_TEXT: Final = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Meaning:
    """What the org's own words mean, and how its fields are mapped."""

    zone: ZoneInfo
    stages: Stages
    disqualified: frozenset[str]
    outcomes: Mapping[str, str] = field(default_factory=dict)
    parents: Callable[[Sequence[str]], Mapping[str, str]] = lambda ids: {}
    """The module of each What_Id that says none, as far as it is known."""
    currency: str | None = None
    """Of amounts whose record names none: the org's."""


@dataclass(frozen=True)
class Decoded:
    """Rows of the model, those set aside, and what our own fields hold by id."""

    table: pa.Table
    set_aside: list[SetAside]
    held: dict[str, dict[str, FieldValue]]


class Decoder:
    """Turns the cells of one module into columns of its object."""

    def __init__(
        self,
        module: Module,
        fields: ModuleFields,
        mapped: Mapping[str, str],
        own: Mapping[str, ZohoField],
        meaning: Meaning,
    ) -> None:
        self._module, self._fields, self._mapped, self._own = module, fields, mapped, own
        self._meaning = meaning
        self._rules = field_rules(module.object)
        self._schema = schema(module.object)

    def decode(self, cells: pa.Table, *, converted: bool | None = None) -> Decoded:
        """The records of these rows. `converted` is what the request itself says of leads."""
        cells = cells.combine_chunks()
        texts = {name: _single(cells[name]) for name in cells.column_names}
        raw = self._raw(texts, converted)
        count, wrong = cells.num_rows, dict[int, str]()
        columns: dict[str, pa.Array] = {}
        shown = set()
        for name, rule in self._rules.items():
            kind = self._schema.field(name).type
            if name in raw:
                columns[name] = self._column(raw[name], name, rule, kind, wrong)
                shown.add(name)
            else:
                columns[name] = pa.nulls(count, kind)
        absent = ",".join(sorted(name for name in self._rules if name not in shown))
        columns[ABSENT] = pa.repeat(pa.scalar(absent, pa.string()), count)
        columns |= self._attributes(texts)
        table = pa.table(columns)
        held = self._held(texts)
        if not wrong:
            return Decoded(table, [], held)
        keep = np.ones(count, bool)
        keep[list(wrong)] = False
        aside = [self._set_aside(texts, row, wrong[row]) for row in sorted(wrong)]
        return Decoded(table.filter(pa.array(keep)), aside, held)

    def _raw(self, texts: Mapping[str, pa.Array], converted: bool | None) -> dict[str, pa.Array]:
        """The model's own fields as cells, those that follow from others included."""
        raw = {"id": texts["id"]}
        for field_name, name in {
            "created_at": "Created_Time",
            "modified_at": "Modified_Time",
            **self._mapped,
        }.items():
            if name in texts:
                raw[field_name] = texts[name]
        if self._meaning.currency and "amount" in raw:
            home = pa.scalar(self._meaning.currency, pa.string())
            named = raw.get("currency", pa.nulls(len(texts["id"]), pa.string()))
            raw["currency"] = pc.if_else(raw["amount"].is_valid(), pc.fill_null(named, home), named)
        if FORMER in texts:
            raw["from_stage"] = texts[FORMER]
        if self._module.object == "lead":
            raw |= self._lead(texts, raw, converted)
        elif self._module.object == "deal":
            raw |= self._deal(raw)
        elif self._module.object == "activity":
            raw |= self._activity(texts, raw)
        return raw

    def _lead(
        self, texts: Mapping[str, pa.Array], raw: Mapping[str, pa.Array], converted: bool | None
    ) -> dict[str, pa.Array]:
        found = {}
        if "is_converted" not in raw:
            if converted is not None:
                said = pa.repeat(pa.scalar("true" if converted else "false"), len(texts["id"]))
            elif "$converted" in texts:
                said = texts["$converted"]
            elif "converted_at" in raw:
                said = _flags(raw["converted_at"].is_valid())
            else:
                said = pa.repeat(pa.scalar("false"), len(texts["id"]))
            found["is_converted"] = said
        if "status" in raw:
            ended = pa.array(sorted(self._meaning.disqualified), pa.string())
            found["is_disqualified"] = _flags(pc.is_in(raw["status"], value_set=ended))
        if "converted_at" in raw and "closed_at" not in raw:
            found["closed_at"] = raw["converted_at"]
        return found

    def _deal(self, raw: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
        if "stage" not in raw:
            return {}
        stages = self._meaning.stages
        won = pc.is_in(raw["stage"], value_set=pa.array(stages.won, pa.string()))
        lost = pc.is_in(raw["stage"], value_set=pa.array(stages.lost, pa.string()))
        closed = pc.or_(won, lost)
        found = {"is_won": _flags(won), "is_closed": _flags(closed)}
        if "expected_close" in raw and "closed_at" not in raw:
            # Zoho keeps no moment of closing; of a closed deal Closing_Date is the day.
            found["closed_at"] = pc.if_else(closed, raw["expected_close"], pa.scalar(None, pa.string()))
        return found

    def _activity(self, texts: Mapping[str, pa.Array], raw: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
        module, count = self._module, len(texts["id"])
        found: dict[str, pa.Array] = {"kind": pa.repeat(pa.scalar(str(module.kind)), count)}
        found |= self._parents(texts, raw)
        if module.kind == "task" and "Status" in texts:
            found["is_completed"] = _flags(pc.equal(texts["Status"], "Completed"))
        if module.kind == "meeting":
            if "started_at" in raw and "ended_at" in raw:
                found["duration"] = _strings(map(_between, _list(raw["started_at"]), _list(raw["ended_at"])))
            if "Check_In_Time" in texts and "outcome" not in raw:
                held = texts["Check_In_Time"].is_valid()
                found["outcome"] = pc.if_else(held, "held", pa.scalar(None, pa.string()))
        if module.kind == "call":
            found |= self._call(texts, raw)
        return found

    def _call(self, texts: Mapping[str, pa.Array], raw: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
        empty = [None] * len(texts["id"])

        def column(name: str) -> Sequence[str | None]:
            return _list(texts[name]) if name in texts else empty

        types, states, clocks = column("Call_Type"), column("Call_Status"), column("Call_Duration")
        seconds = _list(raw["duration"]) if "duration" in raw else empty
        results = _list(raw["outcome"]) if "outcome" in raw else empty
        seconds = [
            each if each is not None else _clock(clock) for each, clock in zip(seconds, clocks, strict=True)
        ]
        found = {"duration": _strings(seconds)}
        found["direction"] = _strings(
            "outbound" if each == "Outbound" else "inbound" if each in ("Inbound", "Missed") else None
            for each in types
        )
        words: Mapping[str, str] = {**STATUS_OUTCOMES, **OUTCOMES, **self._meaning.outcomes}
        found["outcome"] = _strings(
            (words.get(result, "other")) if result else words.get(kind or "") or words.get(state or "")
            for result, kind, state in zip(results, types, states, strict=True)
        )
        if any(states):
            found["is_completed"] = _strings(
                None if each is None else "false" if each in ("Scheduled", "Overdue", "Cancelled") else "true"
                for each in states
            )
        if "started_at" in raw and "ended_at" not in raw:
            found["ended_at"] = _strings(map(_after, _list(raw["started_at"]), seconds))
        return found

    def _parents(self, texts: Mapping[str, pa.Array], raw: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
        """What an activity is about: What_Id is of the module that `$se_module` names."""
        if "What_Id" not in texts:
            return {}
        what = _list(texts["What_Id"])
        modules = _list(texts["$se_module"]) if "$se_module" in texts else [None] * len(what)
        unsaid = sorted({each for each, module in zip(what, modules, strict=True) if each and not module})
        known = self._meaning.parents(unsaid) if unsaid else {}
        said = [module or known.get(each or "") for each, module in zip(what, modules, strict=True)]
        found = {}
        for module, name in PARENTS.items():
            values = [each if of == module else None for each, of in zip(what, said, strict=True)]
            if name in raw:
                values = [each or other for each, other in zip(values, _list(raw[name]), strict=True)]
            found[name] = _strings(values)
        return found

    def _column(
        self, cells: pa.Array, name: str, rule: FieldRule, kind: pa.DataType, wrong: dict[int, str]
    ) -> pa.Array:
        try:
            values = _converted(cells, rule, kind)
        except (pa.ArrowInvalid, ValueError):
            values = self._by_rule(cells, name, rule, kind, wrong)
        if rule.required and values.null_count:
            for row in np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False)):
                wrong.setdefault(int(row), f"{name}: is missing")
        return values

    def _by_rule(
        self, cells: pa.Array, name: str, rule: FieldRule, kind: pa.DataType, wrong: dict[int, str]
    ) -> pa.Array:
        """By the model's own rule, once for each distinct cell."""
        encoded = cells.dictionary_encode()
        values: list[Any] = []
        refused: dict[int, str] = {}
        for place, cell in enumerate(encoded.dictionary.to_pylist()):
            try:
                values.append(rule.adapter.validate_python(self._lenient(cell, rule)))
            except ValueError:
                values.append(None)
                refused[place] = f"{name}: {cell[:100]!r} is not a {rule.kind}"
        if refused:
            places = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
            for row in np.flatnonzero(np.isin(places, list(refused))):
                wrong.setdefault(int(row), refused[int(places[row])])
        return pa.array(values, kind).take(encoded.indices)

    def _lenient(self, cell: str, rule: FieldRule) -> Any:
        if rule.kind == "moment":
            moment = datetime.fromisoformat(cell)
            return moment if moment.tzinfo else moment.replace(tzinfo=self._meaning.zone)
        if rule.kind == "date":
            return date.fromisoformat(cell[:10])
        if rule.kind == "count":
            number = float(cell)
            return int(number) if number.is_integer() else cell
        return cell

    def _attributes(self, texts: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
        taken = {"id", "Created_Time", "Modified_Time", *self._mapped.values()}
        own = {each.name for each in self._own.values()}
        found = {}
        for name in sorted(texts):
            field_ = self._fields.fields.get(name)
            if name in taken or name in own or name.startswith("$") or (field_ and is_ours(field_)):
                continue
            found[attribute_column(name)] = _tagged(texts[name], field_.type if field_ else "text")
        return found

    def _held(self, texts: Mapping[str, pa.Array]) -> dict[str, dict[str, FieldValue]]:
        values = {
            key: own_values(key, _list(texts[each.name]))
            for key, each in self._own.items()
            if each.name in texts
        }
        if not values:
            return {}
        keys = tuple(values)
        return {
            identifier: dict(zip(keys, row, strict=True))
            for identifier, *row in zip(_list(texts["id"]), *values.values(), strict=True)
            if identifier
        }

    def _set_aside(self, texts: Mapping[str, pa.Array], row: int, reason: str) -> SetAside:
        identifier = texts["id"][row].as_py()
        shown = {name: cell for name, column in texts.items() if (cell := column[row].as_py()) is not None}
        return SetAside(
            self._module.object,
            f"{self._module.name}/{identifier or '?'}",
            reason,
            identifier,
            str(shown)[:_RAW_LENGTH],
        )


def own_values(key: str, cells: Iterable[str | None]) -> list[FieldValue]:
    """What cells of one of our fields say."""
    kind = CATALOGUE[key].type
    if kind == "number":
        return [None if cell is None else float(cell) for cell in cells]
    if kind == "boolean":
        return [None if cell is None else cell == "true" for cell in cells]
    if kind == "datetime":
        return [None if cell is None else _utc_text(cell) for cell in cells]
    return list(cells)


def nothing(object_name: ObjectName) -> pa.Table:
    """A table without rows."""
    return to_table(object_name, [])


def _converted(cells: pa.Array, rule: FieldRule, kind: pa.DataType) -> pa.Array:
    """Cells as values, by vector code. Raises ArrowInvalid or ValueError where it can't read one exactly."""
    if rule.kind in ("text", "choice"):
        # The words of choices are chosen by this mapping or checked with the settings.
        return cells
    if rule.kind == "id":
        if (pc.max(pc.utf8_length(cells)).as_py() or 0) > LONGEST_ID:
            raise ValueError("an id is too long")
        return cells
    if rule.kind == "boolean":
        words = pc.utf8_lower(cells)
        known = pc.is_in(words, value_set=pa.array(["true", "false", None], pa.string()))
        if not pc.all(known).as_py():
            raise ValueError("neither true nor false")
        return pc.equal(words, "true")
    values = cells.cast(kind)
    if rule.kind in ("count", "seconds") and (pc.min(values).as_py() or 0) < 0:
        raise ValueError("negative")
    return values


def _tagged(cells: pa.Array, data_type: str) -> pa.Array:
    """Attribute cells in the tags of `model.columns`."""
    if data_type in NUMBERS:
        tagged = _by_distinct(cells, _number)
    elif data_type == "boolean":
        tagged = _by_distinct(
            cells, lambda cell: cell.lower() if cell.lower() in ("true", "false") else '"' + cell
        )
    elif data_type == "datetime":
        try:
            moments = cells.cast(_MOMENT)
            tagged = pc.binary_join_element_wise(
                '"', pc.strftime(moments.cast(pa.timestamp("s", "UTC")), _UTC_TEXT), ""
            )
        except pa.ArrowInvalid:
            tagged = _by_distinct(cells, lambda cell: '"' + _utc_text(cell))
    else:
        tagged = pc.binary_join_element_wise('"', cells, "")
    return pc.fill_null(tagged, "null")


def _by_distinct(cells: pa.Array, tag: Callable[[str], str]) -> pa.Array:
    encoded = cells.dictionary_encode()
    words = pa.array([tag(cell) for cell in encoded.dictionary.to_pylist()], pa.string())
    return words.take(encoded.indices)


def _number(cell: str) -> str:
    """A number in one form, however Zoho spells it: 12.50 and 12.5 are one, 500.0 and 500 are."""
    try:
        return repr(int(cell))
    except ValueError:
        pass
    try:
        number = float(cell)
    except ValueError:
        return '"' + cell
    if number != number or number in (float("inf"), float("-inf")):
        return '"' + cell
    return repr(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


def _utc_text(cell: str) -> str:
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError:
        return cell
    if moment.tzinfo is None:
        return cell
    return f"{moment.astimezone(UTC):{_UTC_TEXT}}"


def _clock(text: str | None) -> str | None:
    """Seconds of `mm:ss` (Call_Duration), or of `hh:mm:ss`."""
    if not text or ":" not in text:
        return None
    parts = text.split(":")
    if not all(part.isdigit() for part in parts):
        return None
    total = 0
    for part in parts:
        total = total * 60 + int(part)
    return str(total)


def _between(start: str | None, end: str | None) -> str | None:
    first, last = _moment(start), _moment(end)
    if first is None or last is None or last < first:
        return None
    return repr((last - first).total_seconds())


def _after(start: str | None, seconds: str | None) -> str | None:
    first = _moment(start)
    if first is None or seconds is None:
        return None
    try:
        return datetime.fromtimestamp(first.timestamp() + float(seconds), UTC).isoformat()
    except (ValueError, OverflowError):
        return None


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _flags(values: pa.Array) -> pa.Array:
    return pc.if_else(values, "true", "false")


def _strings(values: Iterable[str | None]) -> pa.Array:
    return pa.array(list(values), pa.string())


def _list(cells: pa.Array) -> list[str | None]:
    found: list[str | None] = cells.to_pylist()
    return found


def _single(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
