"""The settings of the `files` connector: `[connections.NAME]` and a sub-table per object."""

from __future__ import annotations

import codecs
import difflib
import hashlib
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from crmbridge.model.records import OBJECTS, RECORDS, ObjectName, Outcome

ROW: Final = "row"
"""The word that stands for the row's number instead of a column."""
BLANKS: Final = " "
"""The delimiter that means runs of blanks."""
TEXT_ENDINGS: Final = frozenset({".csv", ".tsv", ".txt"})
PARQUET_ENDINGS: Final = frozenset({".parquet"})
OUTPUT_FOLDER: Final = "scores"
"""Where the writer puts its files, below `path`: never read as exports."""
_DECODING_VERSION: Final = 1
"""Raised when the same file and settings would give other records, so that unchanged files are read again."""


def ending(name: str) -> str:
    """The extension that says how a file is read, without `.gz`: `Leads.CSV.gz` -> `.csv`."""
    return PurePosixPath(name.lower().removesuffix(".gz")).suffix


def is_pattern(name: str) -> bool:
    """Whether a name of a file is a pattern such as `leads-*.csv`."""
    return any(sign in name for sign in "*?[")


def _word(value: Any) -> Any:
    """TOML's own numbers, booleans and dates as the text a cell would have."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    return str(value) if isinstance(value, (int, float)) else value


def _below_path(name: str) -> str:
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts:
        raise ValueError(f"{name!r} is not the name of a file in the folder `path`")
    if not is_pattern(name) and ending(name) not in TEXT_ENDINGS | PARQUET_ENDINGS:
        raise ValueError(f"{name!r} must end in .csv, .tsv, .txt (each also with .gz) or .parquet")
    return name


def _one_character(delimiter: str) -> str:
    if len(delimiter) != 1 or delimiter in '"\r\n' or not delimiter.isascii():
        raise ValueError(
            f"{delimiter!r} is not one character; use ',', ';', '|', \"\\t\", or ' ' for runs of blanks"
        )
    return delimiter


def _encoding(name: str) -> str:
    try:
        "".encode(name)
        # The byte order mark is looked after in any case.
        return codecs.lookup(name).name.removesuffix("-sig")
    except LookupError:
        raise ValueError(f"{name!r} is not an encoding; use utf-8, utf-16 or cp1252, for example") from None


def _formats(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _directives(formats: tuple[str, ...]) -> tuple[str, ...]:
    # What a format writes it must read again: that finds unknown directives before any file is opened.
    example = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
    for one in formats:
        try:
            read = datetime.strptime(example.strftime(one), one)  # noqa: DTZ007 - only the date is looked at
        except ValueError as error:
            raise ValueError(f"{one!r} is not a date format such as %d.%m.%Y ({error})") from None
        if read.date() != example.date():
            raise ValueError(f"{one!r} does not say day, month and year; a date format is such as %d.%m.%Y")
    return formats


Word = Annotated[str, BeforeValidator(_word)]
FileName = Annotated[str, AfterValidator(_below_path)]
Names = Annotated[tuple[str, ...], BeforeValidator(_formats), Field(min_length=1)]


class Stages(BaseModel):
    """What a deal's stages mean. With `open`, a stage in none of them is a bad row; without, it is open."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    won: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    open: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _each_once(self) -> Stages:
        listed = [*self.won, *self.lost, *(self.open or ())]
        twice = sorted({stage for stage in listed if listed.count(stage) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} is listed twice")
        return self


class ObjectOptions(BaseModel):
    """`[connections.NAME.OBJECT]`: where one object's records are and how they are read.

    `fields` maps a common field to a column, or to "row" for the row's number. A column whose name is that of
    a common field maps by itself; every other column becomes an attribute.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Annotated[tuple[FileName, ...], BeforeValidator(_formats), Field(min_length=1)]
    columns: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    delimiter: Annotated[str, AfterValidator(_one_character)] | None = None
    encoding: Annotated[str, AfterValidator(_encoding)] | None = None
    null_values: tuple[str, ...] = ("",)
    date_format: Annotated[Names, AfterValidator(_directives)] | None = None
    decimal: Literal[".", ","] = "."
    id: Names | None = None
    fields: dict[str, str] = {}
    constants: dict[str, Word] = {}
    replace: dict[str, dict[str, Word]] = {}
    outcomes: dict[str, Outcome] = {}
    stages: Stages | None = None

    @field_validator("columns")
    @classmethod
    def _columns_once(cls, columns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = sorted({name for name in columns or () if (columns or ()).count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} is named twice")
        return columns

    @property
    def may_be_several(self) -> bool:
        """Whether there can be more than one file: then a row's id starts with its file's name."""
        return len(self.file) > 1 or is_pattern(self.file[0])

    @property
    def by_row(self) -> bool:
        """Whether the row's number is the id."""
        return self.id == (ROW,)

    def digest(self, zone: str) -> str:
        """A hash of everything beside the files that decides what is read."""
        text = f"{_DECODING_VERSION}\n{zone}\n{self.model_dump_json()}"
        return hashlib.sha256(text.encode()).hexdigest()


class Options(BaseModel):
    """`[connections.NAME]` of the `files` connector: the folder `path`, and a table per object there is.

    `output` is the form of the files that the writer makes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    output: Literal["csv", "parquet"] = "csv"
    lead: ObjectOptions | None = None
    contact: ObjectOptions | None = None
    account: ObjectOptions | None = None
    deal: ObjectOptions | None = None
    stage_change: ObjectOptions | None = None
    activity: ObjectOptions | None = None
    order: ObjectOptions | None = None
    rep: ObjectOptions | None = None

    @field_validator(*OBJECTS)
    @classmethod
    def _fields_of_the_object(
        cls, options: ObjectOptions | None, info: ValidationInfo
    ) -> ObjectOptions | None:
        if options is None or info.field_name is None:
            return options
        object_name: ObjectName = info.field_name  # type: ignore[assignment]
        own = [name for name in RECORDS[object_name].model_fields if name not in ("id", "attributes")]
        for setting, names in (("fields", options.fields), ("constants", options.constants)):
            for name in names:
                if name == "id":
                    raise ValueError(f"{setting} can't give the id; use the setting id")
                if name not in own:
                    raise ValueError(
                        f"{setting}: {name!r} is not a field of {object_name}{_close(name, own)}"
                    )
        both = sorted(options.fields.keys() & options.constants.keys())
        if both:
            raise ValueError(f"{both[0]} is in fields and in constants; keep one")
        if options.outcomes and object_name != "activity":
            raise ValueError("outcomes are for activity only")
        if options.stages is not None:
            if object_name != "deal":
                raise ValueError("stages are for deal only")
            set_twice = sorted({"is_closed", "is_won"} & (options.fields.keys() | options.constants.keys()))
            if set_twice:
                raise ValueError(f"{set_twice[0]} follows from stages; take it out of fields and constants")
        return options

    def of(self, object_name: ObjectName) -> ObjectOptions | None:
        """The settings of one object, None where the connection does not have it."""
        found: ObjectOptions | None = getattr(self, object_name)
        return found


def _close(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
