"""`crmbridge.toml` and the environment become `Settings`; every mistake names its place and the remedy.

The environment overrides the file: `CRMBRIDGE_STORE__LEDGER`, `CRMBRIDGE_CONNECTIONS__ACME__API_BUDGET`.
Secrets never stand in the file (see `crmbridge.secrets`).
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import UTC, date
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from crmbridge.alerts.base import AlertChannel
from crmbridge.connectors.base import Connector
from crmbridge.errors import SettingsError
from crmbridge.metrics.base import MetricSettings
from crmbridge.metrics.calendar import WEEKDAYS
from crmbridge.model.chosen import Chosen, refuse_needed
from crmbridge.model.fields import CATALOGUE, CORE
from crmbridge.model.zones import ZoneName
from crmbridge.plugins import Plugins
from crmbridge.secrets import variable
from crmbridge.store.ledger import ConditionKind
from crmbridge.timetable import BusinessHours, Timetable, parse
from crmbridge.writeback.plan import GuardSettings

FILE_NAME: Final = "crmbridge.toml"
FILE_VARIABLE: Final = "CRMBRIDGE_CONFIG"
ALERTS: Final = "alerts"
SERVE: Final = "serve"
"""Secrets of alert channels and of the scheduler are kept under these names, so no connection has them."""
SERVE_SECRETS: Final = ("token",)
_CONNECTION_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
_UNKNOWN: Final = ("extra_forbidden", "unexpected_keyword_argument")
_NO_TABLE: Final = ("dict_type", "model_type", "dataclass_type", "model_attributes_type")
_SECRET_NAME: Final = re.compile(r"(^|_)(secret|token|password|api_key|apikey|passphrase)$")


def _schedule(text: str) -> str:
    parse(text, UTC)
    return text


def _keys(keys: tuple[str, ...]) -> tuple[str, ...]:
    for key in keys:
        if key not in CATALOGUE:
            raise ValueError(f"{key!r} is not one of {', '.join(CATALOGUE)}")
    return keys


class StoreSettings(BaseModel):
    """`[store]`: where the ledger and the lake are, and how long what is in them stays.

    Relative paths count from the file's folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    ledger: str = "sqlite:///crmbridge.db"
    lake: Path = Path("lake")
    keep_rows_days: int = Field(default=400, ge=1)
    daily_after_days: int = Field(default=7, ge=0)
    monthly_after_days: int = Field(default=100, ge=0)
    keep_versions_days: int | None = Field(default=None, ge=1)
    legal_hold: bool = False


class ConnectionSettings(BaseModel):
    """`[connections.NAME]`: what every connection has. The connector's own settings are the extra keys."""

    model_config = ConfigDict(frozen=True, extra="allow")
    connector: str
    schedule: Annotated[str, AfterValidator(_schedule)] | None = None
    timezone: ZoneName = "UTC"
    api_budget: float = Field(default=0.25, gt=0, le=1)
    api_reserve: float = Field(default=0.1, ge=0, lt=1)
    expires: dict[str, date] = {}
    approval: Literal["manual", "auto"] = "manual"
    fields: Annotated[tuple[str, ...], AfterValidator(_keys)] = CORE
    allow_fields: tuple[str, ...] = ("*",)
    deny_fields: Annotated[tuple[str, ...], AfterValidator(refuse_needed)] = ()
    metrics: MetricSettings = MetricSettings()
    guards: GuardSettings = GuardSettings()

    def timetable(self) -> Timetable | None:
        """When the connection runs; None where only people run it."""
        if self.schedule is None:
            return None
        return parse(self.schedule, ZoneInfo(self.timezone), self._business_hours())

    @property
    def timetable_text(self) -> str | None:
        """The timetable in a form that changes when its slots do."""
        if self.schedule is None:
            return None
        text = f"{self.schedule} | {self.timezone}"
        if "business" in self.schedule.lower():
            text += f" | {self.metrics.calendar.model_dump_json()}"
        return text

    def _business_hours(self) -> BusinessHours:
        calendar = self.metrics.calendar
        return BusinessHours(
            spans=calendar.spans,
            weekdays=frozenset((WEEKDAYS.index(name) + 1) % 7 for name in calendar.weekdays),
            holidays=frozenset(calendar.holidays),
            zone=ZoneInfo(calendar.zone or self.timezone),
        )


class AlertSettings(BaseModel):
    """`[alerts]`: what is told, and one table for each channel. The log is always told."""

    model_config = ConfigDict(frozen=True, extra="allow")
    kinds: tuple[ConditionKind, ...] = get_args(ConditionKind)
    expiry_days: int = Field(default=14, ge=1)
    late_minutes: float = Field(default=10, gt=0)


class ServeSettings(BaseModel):
    """`[serve]`: the scheduler's process."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    host: str = "127.0.0.1"
    port: int = Field(default=8765, ge=0, lt=65536)
    workers: int = Field(default=4, ge=1)
    jitter_seconds: float = Field(default=10, ge=0)
    token_file: Path | None = None


class _File(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="CRMBRIDGE_", env_nested_delimiter="__", extra="forbid", frozen=True
    )
    store: StoreSettings = StoreSettings()
    connections: dict[str, ConnectionSettings] = {}
    alerts: AlertSettings = AlertSettings()
    serve: ServeSettings = ServeSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return _Environment(settings_cls, init_settings().get("connections")), init_settings


class _Environment(EnvSettingsSource):
    """The environment, in capitals: a connection is found there whatever letters its name has in the file."""

    def __init__(self, settings_cls: type[BaseSettings], connections: object) -> None:
        super().__init__(settings_cls)
        names = connections if isinstance(connections, dict) else ()
        self._names = {_in_variable(name).lower(): name for name in names}

    def __call__(self) -> dict[str, Any]:
        found = super().__call__()
        connections = found.get("connections")
        if isinstance(connections, dict):
            found["connections"] = {self._names.get(name, name): each for name, each in connections.items()}
        return found


class Connection(BaseModel):
    """One connection, ready to use: its common settings and its connector's own."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)
    name: str
    settings: ConnectionSettings
    connector: type[Connector]
    options: BaseModel
    secret_files: Mapping[str, Path]

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.settings.timezone)

    @cached_property
    def chosen(self) -> Chosen:
        return Chosen(self.settings.allow_fields, self.settings.deny_fields)


class Channel(BaseModel):
    """One alert channel, ready to use."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)
    name: str
    channel: type[AlertChannel]
    options: BaseModel
    secret_files: Mapping[str, Path]


class Settings:
    """The settings of one installation. `base` is the folder relative paths count from."""

    def __init__(self, file: _File, path: Path) -> None:
        self.path = path
        self.base = path.parent
        self._file = file

    @property
    def store(self) -> StoreSettings:
        return self._file.store

    @property
    def ledger_url(self) -> str:
        url = self._file.store.ledger
        prefix = "sqlite:///"
        if url.startswith(prefix) and not url.startswith(prefix + "/"):
            return prefix + str(self.base / url.removeprefix(prefix))
        return url

    @property
    def lake(self) -> Path:
        return self.base / self._file.store.lake

    @property
    def names(self) -> list[str]:
        """The connections there are."""
        return list(self._file.connections)

    @property
    def alerts(self) -> AlertSettings:
        return self._file.alerts

    @property
    def serve(self) -> ServeSettings:
        return self._file.serve

    def common(self, name: str) -> ConnectionSettings:
        """What every connection has, of one of them. Raises SettingsError."""
        settings = self._file.connections.get(name)
        if settings is None:
            raise SettingsError(
                f"{self.path.name} has no [connections.{name}].",
                remedy=_did_you_mean(name, self.names) or f"There are: {', '.join(self.names) or 'none'}.",
            )
        return settings

    def channels(self, plugins: Plugins) -> list[Channel]:
        """The alert channels that are set up, the log first. Raises SettingsError."""
        tables = {"log": {}, **(self._file.alerts.model_extra or {})}
        return [self._channel(name, table, plugins) for name, table in tables.items()]

    def _channel(self, name: str, table: Any, plugins: Plugins) -> Channel:
        known = [*plugins.alerts, *AlertSettings.model_fields]
        if name not in plugins.alerts or not isinstance(table, dict):
            raise SettingsError(
                f"{self.path.name}: [{ALERTS}] {name} is not a setting or a channel.",
                remedy=_did_you_mean(name, known) or f"There are: {', '.join(known)}.",
            )
        channel, extra, secret_files = plugins.alerts[name], dict(table), {}
        for secret in channel.secrets:
            if f"{secret}_file" in extra:
                secret_files[f"{name}_{secret}"] = self.base / str(extra.pop(f"{secret}_file"))
        try:
            options = channel.Options.model_validate(extra)
        except ValidationError as error:
            raise _explain(error, self.path, f"{ALERTS}.{name}", channel.Options.model_fields) from error
        return Channel(
            name=name, channel=channel, options=_resolved(options, self.base), secret_files=secret_files
        )

    def connection(self, name: str, plugins: Plugins) -> Connection:
        """One connection, with its connector's settings checked. Raises SettingsError."""
        settings = self.common(name)
        connector = plugins.connector(settings.connector)
        extra = dict(settings.model_extra or {})
        secret_files = {}
        for secret in connector.secrets:
            if f"{secret}_file" in extra and f"{secret}_file" not in connector.Options.model_fields:
                secret_files[secret] = self.base / str(extra.pop(f"{secret}_file"))
        try:
            options = connector.Options.model_validate(extra)
        except ValidationError as error:
            known = [*connector.Options.model_fields, *ConnectionSettings.model_fields]
            raise _explain(error, self.path, f"connections.{name}", known) from error
        return Connection(
            name=name,
            settings=settings,
            connector=connector,
            options=_resolved(options, self.base),
            secret_files=secret_files,
        )


def find(path: Path | None = None, environment: Mapping[str, str] = os.environ) -> Path:
    """The settings file: `path`, or CRMBRIDGE_CONFIG, or crmbridge.toml in the current folder."""
    chosen = path or Path(environment.get(FILE_VARIABLE) or FILE_NAME)
    if not chosen.is_file():
        raise SettingsError(
            f"there is no settings file {chosen}.",
            remedy=f"Run `crmbridge init`, or name one with --config or {FILE_VARIABLE}.",
        )
    return chosen.resolve()


def load(path: Path) -> Settings:
    """Read and check a settings file. Raises SettingsError."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}.") from error
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}.") from error
    connections = raw.get("connections")
    tables = connections if isinstance(connections, dict) else {}
    for name, table in tables.items():
        check_name(name, tables, path)
        _refuse_secrets(f"connections.{name}", name, "", table, path)
    alerts = raw.get(ALERTS)
    for name, table in alerts.items() if isinstance(alerts, dict) else ():
        _refuse_secrets(f"{ALERTS}.{name}", ALERTS, f"{name}_", table, path)
    _refuse_secrets(SERVE, SERVE, "", raw.get(SERVE), path)
    try:
        return Settings(_File(**raw), path)
    except ValidationError as error:
        raise _explain(error, path, "", _File.model_fields) from error


def check_name(name: str, others: Iterable[str], path: Path) -> None:
    """Raises SettingsError where `name` can't be a connection's name beside `others`."""
    if not _CONNECTION_NAME.fullmatch(name):
        raise SettingsError(
            f"{path.name}: {name!r} can't be a connection's name.",
            remedy="Use a letter, then letters, digits, - and _.",
        )
    if variable(name, "x") in (variable(ALERTS, "x"), variable(SERVE, "x")):
        raise SettingsError(
            f"{path.name}: a connection can't be called {name}: crmbridge keeps secrets of its own under "
            "that name.",
            remedy="Rename it.",
        )
    clash = [other for other in others if other != name and variable(other, "x") == variable(name, "x")]
    if clash:
        raise SettingsError(
            f"{path.name}: the connections {name} and {clash[0]} would share their secrets' variables.",
            remedy="Rename one of them.",
        )


def _refuse_secrets(where: str, owner: str, prefix: str, table: Any, path: Path) -> None:
    """Raises SettingsError for a secret in the table `where`, which is `owner`'s under the prefixed name."""
    for key in table if isinstance(table, dict) else ():
        if _SECRET_NAME.search(key) and isinstance(table[key], str):
            place = f"[{where}] {key}"
            raise SettingsError(
                f"{path.name}: {place} is a secret, and secrets never stand in the file.",
                remedy=f"Take it out and set {variable(owner, prefix + key)} in the environment, or run "
                f"`crmbridge secret set {owner} {prefix}{key}`, or give {key}_file = a file of mode 600. "
                "If the file was shared, change the secret where it came from as well.",
            )


def _resolved(options: BaseModel, base: Path) -> BaseModel:
    paths = {
        name: base / value
        for name in type(options).model_fields
        if isinstance(value := getattr(options, name), Path)
    }
    return options.model_copy(update=paths) if paths else options


def _did_you_mean(word: str, known: Iterable[str]) -> str | None:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"Did you mean {close[0]}?" if close else None


def _in_variable(name: str) -> str:
    return name.upper().replace("-", "_")


def _explain(error: ValidationError, path: Path, where: str, known: Iterable[str]) -> SettingsError:
    """One clear sentence for the first mistake; the number of further ones is said.

    A key that is not a setting comes first: what is missing is often what it was meant to be.
    """
    mistakes = sorted(error.errors(), key=lambda mistake: mistake["type"] not in _UNKNOWN)
    first = mistakes[0]
    *place, key = [part for part in [*where.split("."), *map(str, first["loc"])] if part]
    table = f"[{'.'.join(place)}] " if place else ""
    variable_name = "CRMBRIDGE_" + "__".join(map(_in_variable, [*place, key]))
    setting = f"{path.name}: {table}{key}"
    if first["type"] in _UNKNOWN:
        what = f"{setting} is not a setting."
        remedy = _did_you_mean(key, known) or "Take it out, or see the settings in docs/settings.md."
    elif first["type"] == "missing":
        what, remedy = f"{setting} is missing.", "Add it; see docs/settings.md."
    else:
        said = first["msg"].removeprefix("Value error, ")
        if first["type"] in _NO_TABLE:
            said = "it must be a table"
        if variable_name in os.environ:
            setting = f"{variable_name} in the environment"
        what, remedy = f"{setting}: {said}.", "Correct it; see docs/settings.md."
    if len(mistakes) > 1:
        remedy += f" ({len(mistakes) - 1} more after this one.)"
    return SettingsError(what, remedy=remedy)
