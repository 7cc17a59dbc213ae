"""The `files` connector: a folder of exports, pulled as if it were a CRM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar, Final, cast

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, JsonValue

from crmbridge.connectors.base import CheckItem, Connector, Context, Cursor, Org, Page, SetAside
from crmbridge.connectors.files.decode import Decoder, decode
from crmbridge.connectors.files.folder import Export, check_folder, exports, unreadable
from crmbridge.connectors.files.mapping import FileMapping, map_columns
from crmbridge.connectors.files.options import ObjectOptions, Options
from crmbridge.connectors.files.parquet import ParquetFile
from crmbridge.connectors.files.rows import Rows
from crmbridge.connectors.files.seen import Seen
from crmbridge.connectors.files.text import TextFile
from crmbridge.errors import SettingsError
from crmbridge.model.columns import to_table
from crmbridge.model.records import ObjectName

ORDER: Final[tuple[ObjectName, ...]] = (
    "rep",
    "account",
    "contact",
    "lead",
    "deal",
    "stage_change",
    "activity",
    "order",
)
"""Referred-to objects first."""
CHECKED_ROWS: Final = 100
_RAW_LENGTH: Final = 500
_DELIMITER_WORDS: Final = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar"}


@dataclass(frozen=True)
class _Opened:
    """An export with its columns known, and how they map; no mapping where the file is empty."""

    export: Export
    content: TextFile | ParquetFile
    mapping: FileMapping | None

    def rows(self) -> Iterator[Rows]:
        try:
            yield from self.content.rows()
        except OSError as error:
            raise unreadable(self.export.name, error) from error


class FilesConnector(Connector):
    """Reads exported files; an object again when the content of its files, its settings or the zone change.

    The cursor of an object holds the size and SHA-256 of each of its files and a hash of its settings. What
    has changed yields all its rows; the store drops those that it has already. The last page is `complete`
    unless a row or a file was broken, or a row without an id may be any record: then nothing is taken for
    deleted.
    """

    name: ClassVar[str] = "files"
    Options: ClassVar[type[BaseModel]] = Options

    def __init__(self, context: Context, *, decoder: Decoder = "bulk") -> None:
        super().__init__(context)
        self.options = cast(Options, context.options)
        self._decoder: Decoder = decoder

    def objects(self) -> Sequence[ObjectName]:
        return [name for name in ORDER if self.options.of(name) is not None]

    def org(self) -> Org:
        """The folder, by its own name: it may be moved, and files may be added.

        Nothing in an export says whose it is. Raises SettingsError where the folder can't be read.
        """
        with self._naming_the_connection():
            check_folder(self.options.path)
        folder = self.options.path.resolve()
        return Org(id=f"files:{folder.name}", label=f"the folder {folder}")

    def pull(self, object_name: ObjectName, cursor: Cursor | None) -> Iterator[Page]:
        """Yield all records of an object where anything changed since `cursor`, else nothing.

        Raises SettingsError.
        """
        with self._naming_the_connection():
            yield from self._pull(object_name, cursor)

    @contextmanager
    def _naming_the_connection(self) -> Iterator[None]:
        try:
            yield
        except SettingsError as error:
            error.connection = self.context.connection
            raise

    def _pull(self, object_name: ObjectName, cursor: Cursor | None) -> Iterator[Page]:
        options = self._options_of(object_name)
        found = exports(self.options.path, object_name, options)
        before: Cursor = cursor or {}
        try:
            states = [export.state() for export in found]
            prints: dict[str, JsonValue] = {export.name: export.fingerprint() for export in found}
            after: Cursor = {
                "files": prints,
                "settings": options.digest(self.context.zone.key),
            }
        except OSError as error:
            raise unreadable(error.filename or object_name, error) from error
        if after == before:
            return
        # Every file is looked at before the first page leaves: a wrong setting must not leave half an object.
        opened = [self._open(object_name, options, export) for export in found]
        last, complete = None, True
        for page, whole in self._pages(object_name, opened, Seen(), before):
            complete = complete and whole
            if last is not None:
                yield last
            last = page
        last = last or Page(object_name, to_table(object_name, []), before)
        if not all(map(Export.is_still, found, states)):
            # What was read is a mixture of two exports: kept, but read again next time.
            self.context.log("files.changed_while_read", object=object_name)
            yield last
        else:
            yield replace(last, cursor=after, complete=complete)

    def _pages(
        self, object_name: ObjectName, opened: Sequence[_Opened], seen: Seen, cursor: Cursor
    ) -> Iterator[tuple[Page, bool]]:
        """The pages of all files, and of each whether the ids of all its rows are known."""
        for file in opened:
            for rows in file.rows():
                page = self._page(object_name, file, rows, seen, cursor)
                if len(page.records) or page.set_aside:
                    yield page, not rows.broken and all(row.id for row in page.set_aside)

    def _page(self, object_name: ObjectName, file: _Opened, rows: Rows, seen: Seen, cursor: Cursor) -> Page:
        name = file.export.name
        aside = [
            (
                broken.line,
                SetAside(object_name, f"{name}:{broken.line}", broken.reason, raw=_short(broken.raw)),
            )
            for broken in rows.broken
        ]
        if file.mapping is None or not rows.table.num_rows:
            return Page(object_name, to_table(object_name, []), cursor, set_aside=[row for _, row in aside])
        decoded = decode(rows, file.mapping, self._decoder)
        table, kept = decoded.table, decoded.rows

        def set_aside(row: int, reason: str, identity: str | None) -> None:
            line = int(rows.lines[row])
            aside.append(
                (line, SetAside(object_name, f"{name}:{line}", reason, identity, _short(rows.raw(row))))
            )

        for unfit in decoded.unfit:
            set_aside(unfit.row, unfit.reason, unfit.id)
        if file.mapping.ids and table.num_rows:
            ids = table["id"].combine_chunks()
            repeated = seen.add(ids, rows.lines[kept], name)
            for place, first in repeated.items():
                set_aside(
                    int(kept[place]), f"id: {ids[place].as_py()!r} was in {first} already", ids[place].as_py()
                )
            if repeated:
                once = np.ones(table.num_rows, bool)
                once[list(repeated)] = False
                table = table.filter(pa.array(once))
        aside.sort(key=lambda item: item[0])
        return Page(object_name, table, cursor, set_aside=[row for _, row in aside])

    def _open(self, object_name: ObjectName, options: ObjectOptions, export: Export) -> _Opened:
        content = export.look(options)
        if isinstance(content, TextFile) and content.empty is not None:
            return _Opened(export, content, None)
        mapping = map_columns(
            object_name,
            options,
            content.columns,
            file=export.name,
            zone=self.context.zone,
            row_prefix=f"{export.name}-" if options.may_be_several else "",
        )
        return _Opened(export, content, mapping)

    def _options_of(self, object_name: ObjectName) -> ObjectOptions:
        options = self.options.of(object_name)
        if options is None:
            raise SettingsError(
                f"the settings have no {object_name}.",
                remedy=f"Add [connections.{self.context.connection}.{object_name}].",
            )
        return options

    def check(self) -> Iterator[CheckItem]:
        """The folder, and of each object its files, how they are written and mapped, and their first rows."""
        try:
            check_folder(self.options.path)
        except SettingsError as error:
            yield CheckItem("folder", "failed", error.what, error.remedy)
            return
        yield CheckItem("folder", "ok", str(self.options.path))
        if not self.objects():
            yield CheckItem(
                "objects",
                "failed",
                "no object is configured",
                f"Add [connections.{self.context.connection}.lead], say.",
            )
        for object_name in self.objects():
            yield from self._check_object(object_name)

    def _check_object(self, object_name: ObjectName) -> Iterator[CheckItem]:
        options = self._options_of(object_name)
        try:
            for export in exports(self.options.path, object_name, options):
                file = self._open(object_name, options, export)
                yield _check_form(object_name, file, options)
                yield self._check_rows(object_name, file)
        except SettingsError as error:
            yield CheckItem(object_name, "failed", error.what, error.remedy)

    def _check_rows(self, object_name: ObjectName, file: _Opened) -> CheckItem:
        name = f"{object_name}: first rows"
        first = next(file.rows(), None)
        page = self._page(object_name, file, first.part(0, CHECKED_ROWS), Seen(), {}) if first else None
        fine, wrong = (len(page.records), page.set_aside) if page else (0, ())
        if not fine and not wrong:
            return CheckItem(name, "warning", "there are columns, but no row")
        if not wrong:
            return CheckItem(name, "ok", f"all of the first {fine:,} fit")
        return CheckItem(
            name,
            "warning" if fine else "failed",
            f"{fine:,} of the first {fine + len(wrong):,} fit; {wrong[0].place}: {wrong[0].reason}",
            "Rows that do not fit are set aside; correct the export or the settings.",
        )


def _short(raw: str | None) -> str | None:
    return raw if raw is None or len(raw) <= _RAW_LENGTH else raw[:_RAW_LENGTH] + "…"


def _check_form(object_name: ObjectName, file: _Opened, options: ObjectOptions) -> CheckItem:
    name, detail = f"{object_name}: {file.export.name}", _described(file)
    if isinstance(file.content, TextFile) and options.encoding is None and file.content.is_guess:
        remedy = f"Set encoding = {file.content.encoding!r}, or the right one: it was guessed."
        return CheckItem(name, "warning", detail, remedy)
    return CheckItem(name, "ok", detail)


def _described(file: _Opened) -> str:
    content, mapping = file.content, file.mapping
    if isinstance(content, ParquetFile):
        text = f"Parquet, {content.row_count:,} rows, {len(content.columns)} columns"
        if content.nested:
            text += f" (not read: {', '.join(content.nested)})"
    elif content.empty is not None:
        return content.empty
    else:
        mark = (
            "blanks" if content.blanks else _DELIMITER_WORDS.get(content.delimiter, repr(content.delimiter))
        )
        text = f"{content.encoding}, {mark}, {len(content.columns)} columns"
    if mapping is not None:
        pairs = [
            ("id", " + ".join(mapping.ids) or "row"),
            *((one.field, one.column) for one in mapping.sources),
        ]
        text += "; " + ", ".join(
            field if field == column else f"{field} = {column}" for field, column in pairs
        )
    return text
