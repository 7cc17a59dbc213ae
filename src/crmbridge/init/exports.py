"""A proposal for the settings of exported files, from the files themselves: names, columns and values.

A field is proposed only where a column has a likely name *and* its values can be read as that field. What is
needed and not found stands as a comment that says what to fill in; nothing is guessed from values alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from crmbridge.connectors.files.cells import ISO, FieldRule, Moments, converter, field_rules
from crmbridge.connectors.files.folder import Export
from crmbridge.connectors.files.options import PARQUET_ENDINGS, ROW, TEXT_ENDINGS, ObjectOptions, ending
from crmbridge.connectors.files.text import TextFile
from crmbridge.errors import SettingsError
from crmbridge.init.names import likely, likely_ids, object_of, variants, words
from crmbridge.model.records import OBJECTS, ObjectName

_LOOKED_AT: Final = 500
"""Distinct values of a column that are tried."""
_FIT: Final = 0.9
"""Share of them that must be readable: exports have bad rows."""
_DAYS: Final = ("%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%Y/%m/%d")
_TIMES: Final = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", ", %H:%M", ", %I:%M %p")
_MANY: Final = 40
"""More distinct values than this are no list of stages or outcomes."""

_ASKED: Final[Mapping[ObjectName, Mapping[str, str]]] = {
    "lead": {
        "created_at": "when was the lead created?",
        "is_converted": "which column says whether it converted (true/false, yes/no, 1/0)?",
        "converted_at": "when did it convert?",
    },
    "deal": {
        "created_at": "when was the deal created?",
        "stage": "which stage is it in? Then say under stages which ones mean won and lost",
        "closed_at": "when was it won or lost?",
    },
    "activity": {"started_at": "when did it take place?", "outcome": "what came of it?"},
    "order": {"account_id": "whose order is it?", "ordered_at": "when was it ordered?"},
}
"""What the scores are learned from: asked for in a comment where no column was found."""
_OUTCOMES: Final = (
    ("no_show", ("no show", "did not attend")),
    ("no_answer", ("no answer", "not reached", "unanswered", "busy", "not connected")),
    ("voicemail", ("voicemail", "voice mail", "left message", "left live message")),
    ("connected", ("connected", "reached", "answered", "spoke")),
    ("held", ("held", "attended", "took place")),
    ("replied", ("replied", "reply")),
    ("sent", ("sent",)),
)
_KINDS: Final = (
    ("email", ("email", "e mail", "mail")),
    ("call", ("call", "phone")),
    ("meeting", ("meeting", "event", "appointment", "demo", "visit")),
    ("task", ("task", "to do", "todo")),
    ("note", ("note",)),
)


@dataclass(frozen=True)
class Columns:
    """One export: its columns, with their distinct values of the first rows, most frequent first."""

    name: str
    values: Mapping[str, Sequence[Any]]
    unique: frozenset[str]
    """The columns whose every value is there, and there once."""
    guessed_encoding: str | None


def propose(folder: Path, connection: str) -> tuple[str, list[str]]:
    """The tables of the objects found in a folder, as TOML, and what a person should be told about them."""
    said, found = [], []
    for path in sorted(folder.iterdir()):
        if path.is_file() and ending(path.name) in TEXT_ENDINGS | PARQUET_ENDINGS:
            try:
                found.append(_look(path))
            except SettingsError as error:
                said.append(str(error))
    chosen: dict[ObjectName, list[_Mapped]] = {}
    for columns in found:
        best = _best(columns)
        if best is None:
            said.append(f"{columns.name}: not used; its columns are like no object's.")
        else:
            chosen.setdefault(best.object, []).append(best)
    tables = []
    for object_name in OBJECTS:
        if object_name in chosen:
            first, *others = sorted(chosen[object_name], key=_Mapped.rank, reverse=True)
            same = [other for other in others if other.columns.values.keys() == first.columns.values.keys()]
            names = sorted([first.columns.name, *(other.columns.name for other in same)])
            tables.append(_table(connection, first, names))
            said.append(f"{', '.join(names)}: {object_name}; columns recognised: {len(first.fields)}.")
            said += [
                f"{other.columns.name}: not used; it looks like {object_name} too, with other columns."
                for other in others
                if other not in same
            ]
    return "\n".join(tables), said


def _look(path: Path) -> Columns:
    """Raises SettingsError."""
    content = Export(path.name, path).look(ObjectOptions(file=(path.name,)))
    guess = content.encoding if isinstance(content, TextFile) and content.is_guess else None
    first = next(iter(content.rows()), None)
    if first is None or not first.table.num_rows:
        return Columns(path.name, dict.fromkeys(content.columns, ()), frozenset(), guess)
    values, unique = {}, set()
    for name in content.columns:
        cells = [cell for cell in first.table[name].to_pylist() if cell is not None]
        counts = Counter(cells)
        values[name] = [cell for cell, _ in counts.most_common()]
        if len(counts) == first.table.num_rows:
            unique.add(name)
    return Columns(path.name, values, frozenset(unique), guess)


@dataclass(frozen=True)
class _Mapped:
    """An export read as one object: the column of each field, and how its values are written."""

    object: ObjectName
    columns: Columns
    id: str | None
    fields: Mapping[str, str]
    formats: tuple[str, ...]
    decimal: Literal[".", ","]

    def rank(self) -> tuple[bool, int]:
        return object_of(self.columns.name) == self.object, len(self.fields)


def _best(columns: Columns) -> _Mapped | None:
    """The object that an export most likely is of: by its file's name, else by its columns."""
    named = object_of(Path(columns.name).stem)
    if named is not None:
        return _map(named, columns)
    tried = sorted((_map(name, columns) for name in OBJECTS), key=lambda one: len(one.fields), reverse=True)
    first, second = tried[0], tried[1]
    surely = len(first.fields) >= 4 and len(first.fields) > len(second.fields) and first.id is not None
    return first if surely else None


def _map(object_name: ObjectName, columns: Columns) -> _Mapped:
    rules = field_rules(object_name)
    called: dict[str, str] = {}
    for column in columns.values:
        for name in variants(object_name, column):
            called.setdefault(name, column)
    identity = next((called[name] for name in likely_ids(object_name) if name in called), None)
    if identity is None:
        identity = next((name for name in columns.values if name in columns.unique), None)
    named = {}
    for field, names in likely(object_name).items():
        found = next((called[name] for name in names if name in called), None)
        if found is not None and (found != identity or field == "name"):
            named[field] = found
    kinds = {field: rules[field].kind for field in named}
    formats = _formats(columns.values[named[field]] for field in named if kinds[field] in ("moment", "date"))
    numbers = [
        columns.values[named[field]] for field in named if kinds[field] in ("money", "count", "seconds")
    ]
    decimal: Literal[".", ","] = "," if _reads(numbers, ",") > _reads(numbers, ".") else "."
    fields = {
        field: column
        for field, column in named.items()
        if field in ("kind", "outcome") or _fits(rules[field], columns.values[column], formats, decimal)
    }
    return _Mapped(object_name, columns, identity, fields, formats, decimal)


def _fits(
    rule: FieldRule, values: Sequence[Any], formats: tuple[str, ...], decimal: Literal[".", ","]
) -> bool:
    """Whether the values can be read as the field, but for a few bad rows."""
    convert = converter(rule, moments=Moments(ZoneInfo("UTC"), formats), decimal=decimal, words={})
    tried = values[:_LOOKED_AT]
    return sum(_can(convert, cell) for cell in tried) >= _FIT * len(tried)


def _can(convert: Any, cell: Any) -> bool:
    try:
        convert(cell)
    except ValueError:
        return False
    return True


def _reads(columns: Iterable[Sequence[Any]], decimal: Literal[".", ","]) -> int:
    convert = converter(
        field_rules("order")["amount"], moments=Moments(ZoneInfo("UTC")), decimal=decimal, words={}
    )
    return sum(_can(convert, cell) for values in columns for cell in values[:_LOOKED_AT])


def _formats(columns: Iterable[Sequence[Any]]) -> tuple[str, ...]:
    """The date formats of an export's dates: none for ISO 8601; of two ways to write a day, the first."""
    texts = [str(cell).strip() for values in columns for cell in values[:_LOOKED_AT]]
    texts = [text for text in texts if text and not ISO.fullmatch(text)]
    best: dict[str, int] = {}
    for day in _DAYS:
        counts = {day + time: 0 for time in _TIMES}
        for text in texts:
            form = next((form for form in counts if _can(Moments(ZoneInfo("UTC"), (form,)), text)), None)
            if form is not None:
                counts[form] += 1
        if sum(counts.values()) > sum(best.values()):
            best = {form: count for form, count in counts.items() if count}
    return tuple(best)


# -- as TOML --


def quoted(text: str) -> str:
    """A TOML string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _table(connection: str, mapped: _Mapped, files: Sequence[str]) -> str:
    place = f"connections.{connection}.{mapped.object}"
    names = [quoted(name) for name in files]
    lines = [f"[{place}]", f"file = {names[0] if len(names) == 1 else '[' + ', '.join(names) + ']'}"]
    if mapped.id is not None:
        lines.append(f"id = {quoted(mapped.id)}")
    else:
        lines.append(
            f'id = "{ROW}"                              # unsure: no column looks like an id; name it'
        )
    if mapped.columns.guessed_encoding:
        lines.append(
            f"encoding = {quoted(mapped.columns.guessed_encoding)}     # guessed: look at names with accents"
        )
    if mapped.formats:
        unsure = "/" in mapped.formats[0] and not mapped.formats[0].startswith("%Y")
        note = "     # look: day or month first?" if unsure else ""
        lines.append(f"date_format = [{', '.join(map(quoted, mapped.formats))}]{note}")
    if mapped.decimal == ",":
        lines.append('decimal = ","')
    lines += _meanings(place, mapped)
    missing = [
        field
        for field, rule in field_rules(mapped.object).items()
        if rule.required and field not in mapped.fields and field not in ("id", "kind")
    ]
    if missing:
        lines.insert(
            0, f"Not ready: every {mapped.object} needs {', '.join(missing)}. Name the column below."
        )
        lines += [f"{field} = " for field in missing]
        return "".join(f"# {line}\n" if line else "\n" for line in lines)
    return "".join(f"{line}\n" for line in lines)


def _meanings(place: str, mapped: _Mapped) -> list[str]:
    """The fields' columns, and what an export's own words mean."""
    lines: list[str] = []
    fields, values = dict(mapped.fields), mapped.columns.values
    stages = _stages(values[fields["stage"]]) if mapped.object == "deal" and "stage" in fields else None
    if stages:
        fields = {name: column for name, column in fields.items() if name not in ("is_closed", "is_won")}
        lines.append(stages)
    if mapped.object == "activity":
        lines += _kind(mapped.columns.name, fields, values)
    lines += ["", f"[{place}.fields]     # crmbridge's field = the file's column"]
    lines += [f"{name} = {quoted(column)}" for name, column in fields.items()]
    asked = _ASKED.get(mapped.object, {})
    lines += [f'# {name} = "..."     # {asked[name]}' for name in asked if name not in fields]
    used = {*fields.values(), mapped.id}
    rest = [name for name in values if name not in used and name.isprintable()]
    if rest:
        lines.append(f"# Attributes, and inputs of the score: {', '.join(rest)}")
    if "outcome" in fields:
        lines += _outcomes(place, values[fields["outcome"]])
    return lines


def _stages(values: Sequence[Any]) -> str | None:
    """Which stages mean won and lost, by their names; nothing where no stage is called so."""
    stages = [str(value) for value in values[:_MANY]]
    won = [quoted(stage) for stage in stages if "won" in words(stage).split()]
    lost = [quoted(stage) for stage in stages if "lost" in words(stage).split()]
    if not won:
        return None
    return (
        f"stages = {{ won = [{', '.join(won)}], lost = [{', '.join(lost)}] }}     # every other one is open"
    )


def _kind(file: str, fields: dict[str, str], values: Mapping[str, Sequence[Any]]) -> list[str]:
    """What kind the activities are: by their column, whose words are translated, or by the file's name."""
    column = fields.get("kind")
    if column is None or len(values[column]) > _MANY:
        fields.pop("kind", None)
        return [f"constants = {{ kind = {quoted(_meaning(file, _KINDS, 'other'))} }}"]
    known = field_rules("activity")["kind"].words
    texts = [str(value) for value in values[column]]
    others = {text: _meaning(text, _KINDS, "") for text in texts if words(text) not in known}
    # What has no likely meaning stays out: its rows are set aside, and `check` and `run` say so.
    others = {text: kind for text, kind in others.items() if kind}
    if not others:
        return []
    pairs = ", ".join(f"{quoted(text)} = {quoted(kind)}" for text, kind in others.items())
    return [f"replace = {{ {quoted(column)} = {{ {pairs} }} }}"]


def _outcomes(place: str, values: Sequence[Any]) -> list[str]:
    if len(values) > _MANY:
        return []
    lines = ["", f"[{place}.outcomes]     # the export's word = what it means; look these through"]
    for value in values:
        meaning = _meaning(str(value), _OUTCOMES, "other")
        lines.append(f"{quoted(str(value))} = {quoted(meaning)}")
    return lines


def _meaning(text: str, meanings: Sequence[tuple[str, Sequence[str]]], otherwise: str) -> str:
    """The first meaning one of whose words the text holds."""
    padded = f" {words(text)} "
    for meaning, names in meanings:
        if any(f" {name}" in padded for name in names):
            return meaning
    return otherwise
