"""The part of SOQL that the stand-in understands; anything else is MALFORMED_QUERY."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:\\.|[^'\\])*')|(?P<moment>\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d))"
    r"|(?P<date>\d{4}-\d\d-\d\d)|(?P<number>-?\d+(?:\.\d+)?)|(?P<word>[A-Za-z_][\w.]*(?:\(\))?)"
    r"|(?P<sign><=|>=|!=|[=<>(),]))"
)
KEYWORDS = {
    "select",
    "from",
    "where",
    "order",
    "by",
    "limit",
    "and",
    "or",
    "in",
    "not",
    "asc",
    "desc",
    "nulls",
}


class Malformed(Exception):
    """The query is not one."""


@dataclass
class Query:
    fields: list[str]
    sobject: str
    matches: Callable[[dict[str, Any]], bool]
    order: list[tuple[str, bool]]
    limit: int | None
    used: set[str]
    """Fields in conditions and order."""


class Parser:
    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        place = 0
        while text[place:].strip():
            found = TOKEN.match(text, place)
            if not found:
                raise Malformed(f"unexpected token: '{text[place : place + 20]}'")
            self.tokens.append((str(found.lastgroup), found[found.lastgroup]))
            place = found.end()
        self.place = 0
        self.used: set[str] = set()

    def peek(self) -> str:
        return self.tokens[self.place][1].lower() if self.place < len(self.tokens) else ""

    def take(self, expected: str | None = None) -> tuple[str, str]:
        if self.place >= len(self.tokens) or (expected and self.peek() != expected):
            raise Malformed(f"unexpected token: '{self.peek() or '<EOF>'}', expecting {expected}")
        self.place += 1
        return self.tokens[self.place - 1]

    def name(self) -> str:
        kind, word = self.take()
        if kind != "word" or word.lower() in KEYWORDS:
            raise Malformed(f"unexpected token: '{word}'")
        return word

    def query(self) -> Query:
        self.take("select")
        fields = [self.name()]
        while self.peek() == ",":
            self.take()
            fields.append(self.name())
        self.take("from")
        sobject = self.take()[1]  # there is an object named Order
        matches: Callable[[dict[str, Any]], bool] = lambda row: True  # noqa: E731
        if self.peek() == "where":
            self.take()
            matches = self.either()
        order: list[tuple[str, bool]] = []
        if self.peek() == "order":
            self.take()
            self.take("by")
            while True:
                name = self.name()
                self.used.add(name)
                descending = self.peek() == "desc"
                if self.peek() in ("asc", "desc"):
                    self.take()
                order.append((name, descending))
                if self.peek() != ",":
                    break
                self.take()
        limit = None
        if self.peek() == "limit":
            self.take()
            limit = int(self.take()[1])
        if self.place < len(self.tokens):
            raise Malformed(f"unexpected token: '{self.peek()}'")
        return Query(fields, sobject, matches, order, limit, self.used)

    def either(self) -> Callable[[dict[str, Any]], bool]:
        parts = [self.both()]
        mixed = self.peek()
        while self.peek() == "or":
            self.take()
            parts.append(self.one())
        if mixed == "or" and self.peek() == "and":
            raise Malformed("AND and OR need parentheses")
        return parts[0] if len(parts) == 1 else lambda row: any(part(row) for part in parts)

    def both(self) -> Callable[[dict[str, Any]], bool]:
        parts = [self.one()]
        while self.peek() == "and":
            self.take()
            parts.append(self.one())
        if len(parts) > 1 and self.peek() == "or":
            raise Malformed("AND and OR need parentheses")
        return parts[0] if len(parts) == 1 else lambda row: all(part(row) for part in parts)

    def one(self) -> Callable[[dict[str, Any]], bool]:
        if self.peek() == "(":
            self.take()
            inner = self.either()
            self.take(")")
            return inner
        name = self.name()
        self.used.add(name)
        if self.peek() == "in":
            self.take()
            self.take("(")
            values = {self.literal()}
            while self.peek() == ",":
                self.take()
                values.add(self.literal())
            self.take(")")
            return lambda row: row.get(name) in values
        sign = self.take()[1]
        value = self.literal()
        return lambda row: compare(row.get(name), sign, value)

    def literal(self) -> Any:
        kind, word = self.take()
        if kind == "text":
            return re.sub(r"\\(.)", r"\1", word[1:-1])
        if kind == "moment":
            if not word.endswith("Z"):
                raise Malformed("the stand-in takes moments in Z")
            return word[:19] + "Z"  # comparison is by whole seconds
        if kind == "number":
            return float(word)
        if kind == "word" and word.lower() in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[word.lower()]
        if kind == "date":
            return word
        raise Malformed(f"unexpected token: '{word}'")


def compare(held: Any, sign: str, value: Any) -> bool:
    if sign == "=":
        return bool(held == value)
    if sign == "!=":
        return bool(held != value)
    if held is None or value is None:
        return False
    if isinstance(value, float):
        held = float(held)
    return bool({"<": held < value, ">": held > value, "<=": held <= value, ">=": held >= value}[sign])


def parse(text: str) -> Query:
    return Parser(text).query()
