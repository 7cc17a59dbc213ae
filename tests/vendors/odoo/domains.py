"""Odoo's domains: conditions in prefix notation, and-ed where nothing joins them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

Row = dict[str, Any]
Lookup = Callable[[Row, str], Any]


def matches(domain: list[Any], row: Row, lookup: Lookup) -> bool:
    """Whether a row fulfils a domain; `lookup` gives the value of a path such as `mail_message_id.model`."""
    rest = list(domain)
    holds = True
    while rest:
        found, rest = _term(rest, row, lookup)
        holds = holds and found
    return holds


def _term(terms: list[Any], row: Row, lookup: Lookup) -> tuple[bool, list[Any]]:
    first, rest = terms[0], terms[1:]
    if first == "!":
        found, rest = _term(rest, row, lookup)
        return not found, rest
    if first in ("&", "|"):
        one, rest = _term(rest, row, lookup)
        other, rest = _term(rest, row, lookup)
        return (one and other) if first == "&" else (one or other), rest
    path, operator, value = first
    return _holds(lookup(row, path), operator, value), rest


def _holds(held: Any, operator: str, value: Any) -> bool:
    if operator in ("=", "!="):
        if value is False or value is None:
            same = held is False or held is None
        else:
            same = _comparable(held) == _comparable(value)
        return same == (operator == "=")
    if operator in ("in", "not in"):
        return (held in value) == (operator == "in")
    if operator == "=like":
        return isinstance(held, str) and fnmatchcase(held, value.replace("%", "*"))
    if held is None or held is False:
        return False
    one, other = _comparable(held), _comparable(value)
    return bool({">": one > other, ">=": one >= other, "<": one < other, "<=": one <= other}[operator])


def _comparable(value: Any) -> Any:
    """A moment sent as text is compared as a moment, to the microsecond."""
    if isinstance(value, str):
        try:
            return datetime.strptime(value, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        except ValueError:
            return value
    return value
