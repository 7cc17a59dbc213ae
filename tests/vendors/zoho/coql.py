"""COQL, as far as it is documented: one SELECT over one module.

https://www.zoho.com/crm/developer/docs/api/v8/COQL-Overview.html and COQL-Limitations.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

TOKEN = re.compile(r"\s*('(?:[^'\\]|\\.)*'|>=|<=|!=|[=<>(),]|[\w.$>-]+)")
Row = dict[str, Any]
Test = Callable[[Row], bool]


class CoqlError(Exception):
    """What the vendor says of a query: code, details, message."""

    def __init__(self, code: str, message: str, **details: Any) -> None:
        self.body = {"code": code, "details": details, "message": message, "status": "error"}
        super().__init__(message)


class Query:
    """A parsed query: `columns`, `module`, `test`, `order`, `limit`, `offset`."""

    def __init__(self, text: str) -> None:
        self._tokens = TOKEN.findall(text)
        self._place = 0
        self.where: set[str] = set()
        self._expect("select")
        self.columns = [self._next()]
        while self._peek() == ",":
            self._next()
            self.columns.append(self._next())
        self._expect("from")
        self.module = self._next()
        if self._peek().lower() != "where":
            raise CoqlError("SYNTAX_ERROR", "missing clause", clause="where")
        self._next()
        self.test = self._either()
        self.order: list[tuple[str, bool]] = []
        if self._peek().lower() == "order":
            self._next()
            self._expect("by")
            while True:
                name = self._next()
                down = self._peek().lower() == "desc"
                if self._peek().lower() in ("asc", "desc"):
                    self._next()
                self.order.append((name, down))
                if self._peek() != ",":
                    break
                self._next()
        self.limit, self.offset = 200, 0
        if self._peek().lower() == "limit":
            self._next()
            self.limit = self._whole("limit")
        if self._peek().lower() == "offset":
            self._next()
            self.offset = self._whole("offset")
        if self._peek():
            raise CoqlError("SYNTAX_ERROR", "error occured while parsing the query", near=self._peek())

    def _whole(self, what: str) -> int:
        token = self._next()
        if not token.isdigit():
            raise CoqlError("INVALID_QUERY", f"{what} given seems to be invalid", **{what: token})
        return int(token)

    def _peek(self) -> str:
        return self._tokens[self._place] if self._place < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        if not token:
            raise CoqlError("SYNTAX_ERROR", "error occured while parsing the query", near="end")
        self._place += 1
        return token

    def _expect(self, word: str) -> None:
        if self._next().lower() != word:
            raise CoqlError("SYNTAX_ERROR", "unexpected token", near=word)

    def _either(self) -> Test:
        """Two conditions at one level; more need brackets."""
        first = self._one()
        word = self._peek().lower()
        if word not in ("and", "or"):
            return first
        self._next()
        second = self._one()
        if self._peek().lower() in ("and", "or"):
            raise CoqlError("SYNTAX_ERROR", "error occured while parsing the query", near=self._peek())
        if word == "and":
            return lambda row: first(row) and second(row)
        return lambda row: first(row) or second(row)

    def _one(self) -> Test:
        if self._peek() == "(":
            self._next()
            found = self._either()
            if self._next() != ")":
                raise CoqlError("SYNTAX_ERROR", "error occured while parsing the query", near=")")
            return found
        name, sign = self._next(), self._next().lower()
        self.where.add(name)
        if sign == "is":
            word = self._next().lower()
            negated = word == "not"
            if negated:
                word = self._next().lower()
            if word != "null":
                raise CoqlError("SYNTAX_ERROR", "unexpected token", near=word)
            return lambda row: (key(row.get(name)) is not None) == negated
        if sign == "in":
            self._expect("(")
            values = [literal(self._next())]
            while self._peek() == ",":
                self._next()
                values.append(literal(self._next()))
            self._expect(")")
            if len(values) > 100:
                raise CoqlError("LIMIT_EXCEEDED", "limit exceeded", limit=100)
            return lambda row: key(row.get(name), values[0]) in values
        value = literal(self._next())
        compare: dict[str, Callable[[Any, Any], bool]] = {
            "=": lambda a, b: a == b,
            "!=": lambda a, b: a != b,
            ">": lambda a, b: a > b,
            ">=": lambda a, b: a >= b,
            "<": lambda a, b: a < b,
            "<=": lambda a, b: a <= b,
        }
        if sign not in compare:
            raise CoqlError("INVALID_QUERY", "Invalid query formed", column_name=name, operator=sign)

        def test(row: Row) -> bool:
            found = key(row.get(name), value)
            if name == "id":
                return compare[sign](id_key(found), id_key(value))
            return found is not None and compare[sign](found, value)

        return test


def literal(token: str) -> Any:
    """A literal: quoted text is a moment where it looks like one."""
    if token.startswith("'"):
        text = token[1:-1]
        if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", text):
            return datetime.fromisoformat(text).astimezone(UTC)
        return text
    if token in ("true", "false"):
        return token == "true"
    return float(token) if re.fullmatch(r"-?\d+(\.\d+)?", token) else token


def key(value: Any, like: Any = None) -> Any:
    """A value to compare: lookups by id, moments in UTC."""
    if isinstance(value, dict):
        value = value.get("id")
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(like, datetime) and isinstance(value, str):
        return datetime.fromisoformat(value).astimezone(UTC)
    return value


def id_key(value: Any) -> tuple[int, int, str]:
    """Ids compare as numbers."""
    text = str(int(value)) if isinstance(value, float) else str(value)
    return (0, int(text), "") if text.isdigit() else (1, 0, text)
