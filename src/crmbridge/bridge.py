"""Bridge: one configured installation. What the command line, the scheduler and a notebook all drive."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from pydantic import SecretStr

from crmbridge import config
from crmbridge.config import ALERTS, SERVE, SERVE_SECRETS, Connection, Settings, StoreSettings
from crmbridge.connectors.base import CallCounter, CheckItem, Context
from crmbridge.errors import CRMBridgeError, NotFoundError, SettingsError, StoreError
from crmbridge.model.records import OBJECTS, ObjectName
from crmbridge.plugins import Plugins
from crmbridge.report.explain import Explanation, explain
from crmbridge.report.export import export
from crmbridge.report.html import write_report
from crmbridge.report.texts import LANGUAGES
from crmbridge.schedule.budget import Forecast
from crmbridge.schedule.watchman import Watchman
from crmbridge.secrets import LedgerNotes, Secrets
from crmbridge.store.backup import Backup, backup, restore
from crmbridge.store.check import check
from crmbridge.store.lake import Lake
from crmbridge.store.ledger import Copy, Ledger, Plan, Run, StoredModel
from crmbridge.sync import run as runs
from crmbridge.sync.plan import require_writer
from crmbridge.sync.pull import left_out
from crmbridge.sync.retention import Retention
from crmbridge.sync.run import Approve
from crmbridge.sync.session import Session
from crmbridge.writeback.base import InstallStep
from crmbridge.writeback.undo import Kept, kept
from crmbridge.writeback.verify import Verified

CLOCK_HELD: Final = timedelta(hours=2)
"""A clock set back by more than a clock change is somebody's mistake."""
Progress = Callable[[str, int, int | None], None]


def utc_now() -> datetime:
    """The clock of a real installation."""
    return datetime.now(UTC)


class Bridge:
    """One installation: settings, plugins, store. Use it as a context manager, or call `close`.

    >>> with Bridge.open("crmbridge.toml") as bridge:        # doctest: +SKIP
    ...     run = bridge.sync("acme", dry_run=True)
    """

    def __init__(
        self,
        settings: Settings,
        *,
        plugins: Plugins | None = None,
        clock: Callable[[], datetime] = utc_now,
        log: Callable[..., None] = lambda event, **values: None,
        progress: Progress = lambda step, done, total: None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.settings = settings
        self.plugins = plugins or Plugins.load()
        self._clock, self._log, self._progress, self._stopping = clock, log, progress, stopping
        self._open = ExitStack()
        for info in self.plugins.infos:
            if info.error:
                self._log("plugin failed", level="warning", plugin=info.name, error=info.error)

    @classmethod
    def open(cls, path: str | Path | None = None, **world: object) -> Self:
        """The installation of a settings file; without `path`, CRMBRIDGE_CONFIG or ./crmbridge.toml."""
        return cls(config.load(config.find(Path(path) if path else None)), **world)  # type: ignore[arg-type]

    @cached_property
    def ledger(self) -> Ledger:
        store = self.settings.store
        ledger = Ledger.open(self.settings.ledger_url, clock=self._clock, legal_hold=store.legal_hold)
        self._open.callback(ledger.close)
        return ledger

    @cached_property
    def lake(self) -> Lake:
        return Lake(self.settings.lake, self.ledger)

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def connection(self, name: str) -> Connection:
        """A connection's settings. Raises SettingsError."""
        return self.settings.connection(name, self.plugins)

    # -- before the first run --

    def check(self, name: str) -> list[CheckItem]:
        """Look at everything a run of the connection needs; changes nothing.

        Where the CRM or a secret gives an error, it is the last line: what was seen before stays to be read.
        """
        items: list[CheckItem] = []
        with self._session(name) as session:
            try:
                items.extend(session.connector.check())
                if session.writer is not None and not any(item.state == "failed" for item in items):
                    items.extend(session.writer.check())
                items += _chosen_fields(session)
            except CRMBridgeError as error:
                detail = f"{error.what} The CRM said: {error.said}" if error.said else error.what
                items.append(CheckItem("went no further", "failed", detail, error.remedy))
            budget = self.watchman.forecast(name, daily_limit=session.context.calls.daily_limit)
        return [*items, _budget(budget)] if budget.uses_an_api else items

    def install(
        self, name: str, *, dry_run: bool = False, sign_in_as: str | None = None, remove: bool = False
    ) -> list[InstallStep]:
        """Create the connection's fields in the CRM, or remove what was created.

        `sign_in_as` names the connection whose rights are used; it must be the same CRM.
        """
        with ExitStack() as stack:
            session = stack.enter_context(self._session(name))
            writer = session.writer
            if sign_in_as:
                admin = stack.enter_context(self._session(sign_in_as))
                if admin.connector.org() != session.connector.org():
                    raise SettingsError(f"{sign_in_as} is not the same CRM as {name}.", connection=name)
                session = self._with_rights_of(admin, session, stack)
            if session.writer is None:
                raise SettingsError(
                    "this connector can't write back, so there is nothing to install.", connection=name
                )
            if remove:
                return list(session.writer.uninstall(dry_run=dry_run))
            steps = list(session.writer.install(dry_run=dry_run))
            if writer is not None and all(step.state in ("done", "present") for step in steps):
                # What was made counts once the user who signs in every day can write it.
                steps += [
                    InstallStep(
                        f"{item.name}: {item.detail}",
                        "conflict",
                        f"The CRM may need some minutes: `crmbridge check {name}` looks again.",
                    )
                    for item in writer.check()
                    if item.state == "failed"
                ]
            return steps

    # -- runs --

    def sync(
        self,
        name: str,
        *,
        full: bool = False,
        dry_run: bool = False,
        at: datetime | None = None,
        approve: Approve | Literal["yes"] | None = None,
    ) -> Run:
        """One run: pull, score, plan, apply, verify. `approve` decides on the plan (see `sync.run.sync`).

        A run that is due by the schedule is made by it.
        """
        with self._alone(name) as session:
            due = None if dry_run or at is not None else self.watchman.due(name)
            return runs.sync(
                session,
                moment=self._moment(name, at),
                full=full,
                dry_run=dry_run,
                approve=approve,
                slot=due.slot if due else None,
                clock_behind=self._clock_behind(name) if at is None else 0,
            )

    # -- unattended --

    @property
    def watchman(self) -> Watchman:
        """Who looks whether all is well."""
        return Watchman(self.settings, self.plugins, self.ledger, clock=self._clock, log=self._log)

    def run_due(self, name: str) -> Run | None:
        """The run that the connection's schedule asks for now, or None where none is due.

        Raises BusyError where another process runs the connection, and what the run raises.
        """
        if self.watchman.due(name) is None:
            return None
        with self._alone(name) as session:
            due = self.watchman.due(name)  # another process may have been quicker
            if due is None:
                return None
            moment = due.moment or self._moment(name, None)
            return runs.sync(session, moment=moment, slot=due.slot, clock_behind=self._clock_behind(name))

    def is_due(self, name: str) -> bool:
        """Whether a run of the connection is due by its schedule and nobody is at it."""
        return self.watchman.due(name) is not None and not self.ledger.is_held(f"connection/{name}")

    def ledger_answers(self) -> bool:
        """Whether the ledger can be read now."""
        try:
            self.ledger.conditions()
        except StoreError:
            return False
        return True

    def serve_token(self) -> str | None:
        """What who asks for health and metrics must show; None where it was not set. Raises SettingsError."""
        path = self.settings.serve.token_file
        files = {"token": self.settings.base / path} if path else {}
        found = Secrets(SERVE, files=files, ledger=self.ledger).find("token")
        return found.get_secret_value() if found else None

    def change_settings(self, settings: Settings) -> None:
        """Use other settings from the next run on. Raises SettingsError where they need a restart or can't be
        used as a whole.
        """
        if settings.store != self.settings.store:
            raise SettingsError("[store] has changed.", remedy="Start `crmbridge serve` again to use it.")
        for name in settings.names:
            settings.connection(name, self.plugins)
        settings.channels(self.plugins)
        self.settings = settings

    def forecast(self, name: str) -> Forecast:
        """What the connection's runs will need of the vendor's API, and its share."""
        self.connection(name)
        return self.watchman.forecast(name)

    def pull(self, name: str, *, full: bool = False, at: datetime | None = None) -> Run:
        """Read what changed in the CRM into the lake."""
        with self._alone(name) as session:
            return runs.pull(session, moment=self._moment(name, at), full=full)

    def score(self, name: str, *, at: datetime | None = None) -> Run:
        """Compute results from the lake as of a moment."""
        with self._alone(name) as session:
            return runs.score(session, moment=self._moment(name, at))

    def plan(self, name: str, *, at: datetime | None = None) -> Run:
        """Compare the results with what the CRM holds now and store the plan."""
        with self._alone(name) as session:
            return runs.plan(session, moment=self._moment(name, at))

    def apply(self, plan_id: int, *, override: Sequence[str] = ()) -> Run:
        """Write a plan: calling this is a person's approval. `override` names guards to pass."""
        with self._alone(self.ledger.plan(plan_id).connection) as session:
            return runs.apply(session, plan_id, override=override)

    def verify(self, run_id: int) -> Verified:
        """Read back what a run wrote and list what differs now."""
        with self._session(self.ledger.run(run_id).connection) as session:
            return runs.verify(session, run_id)

    def undo(self, run_id: int) -> Run:
        """Restore the values before a run, except those a person has changed since."""
        with self._alone(self.ledger.run(run_id).connection) as session:
            return runs.undo(session, run_id)

    def kept(self, undone: Run) -> list[Kept]:
        """What an undo left as it was, because a person or a later run has changed it since."""
        plan = self.plan_of(undone)
        if plan is None or plan.kind != "undo":
            raise NotFoundError(f"run {undone.id} is not an undo.", connection=undone.connection)
        with self._session(undone.connection) as session:
            return list(kept(plan.id, ledger=self.ledger, writer=require_writer(session)))

    def runs(self, name: str | None = None, limit: int = 50) -> list[Run]:
        """What ran, newest first. Raises SettingsError for a connection that never ran and is not set up."""
        found = self.ledger.runs(name, limit)
        if name is not None and not found:
            self.connection(name)
        return found

    # -- what was learned --

    def plan_of(self, run: Run) -> Plan | None:
        """The plan a run made or applied."""
        return runs.plan_of(self.ledger, run)

    def explain(self, name: str, object_name: str, record: str, *, at: datetime | None = None) -> Explanation:
        """One record's score with its reasons adding up, and its history."""
        self.connection(name)
        return explain(
            self.ledger, self.lake, name, _object(object_name), record, moment=self._moment(name, at)
        )

    def model(self, name: str, object_name: str, *, metric: str = "need") -> StoredModel:
        """The published model. Raises NotFoundError where there is none."""
        stored = self.models(name, object_name, metric=metric)
        for each in stored:
            if each.status == "published":
                return each
        raise NotFoundError(
            f"no {metric} model for {object_name} is in use.",
            connection=name,
            remedy=f"Put one into use with --publish: {_names(stored)}."
            if stored
            else f"Run `crmbridge sync {name}` first.",
        )

    def models(self, name: str, object_name: str, *, metric: str = "need") -> list[StoredModel]:
        """All stored models of a metric and object, newest first."""
        self.connection(name)
        if metric not in self.plugins.metrics:
            known = ", ".join(sorted(self.plugins.metrics))
            raise SettingsError(f"{metric!r} is not a metric; there are {known}.")
        return self.ledger.models(name, metric, _object(object_name))

    def publish(self, name: str, object_name: str, model: str, *, metric: str = "need") -> StoredModel:
        """Make a stored model the one that scores. Raises NotFoundError."""
        stored = self.models(name, object_name, metric=metric)
        if model not in [each.model.name for each in stored]:
            raise NotFoundError(
                f"there is no {metric} model {model!r} for {object_name}.",
                connection=name,
                remedy=f"There are: {_names(stored) or 'none'}.",
            )
        return self.ledger.publish(name, model)

    def revert(self, name: str, object_name: str, *, metric: str = "need") -> StoredModel:
        """Go back to the model published before. Raises NotFoundError where there is none."""
        self.models(name, object_name, metric=metric)
        return self.ledger.revert(name, metric, _object(object_name))

    def report(
        self,
        name: str,
        path: Path,
        *,
        at: datetime | None = None,
        language: str | None = None,
        anonymous: bool = False,
    ) -> Path:
        """Write the HTML report, in the connection's language unless another is given.

        `anonymous` leaves out every name of a person, company, deal or team.
        """
        connection = self.connection(name)
        spoken = language or connection.settings.metrics.language
        if spoken not in LANGUAGES:
            raise SettingsError(
                f"there is no report in the language {spoken!r}.",
                connection=name,
                remedy=f"Choose among {', '.join(LANGUAGES)}.",
            )
        written = write_report(
            self.ledger,
            self.lake,
            name,
            path,
            moment=self._moment(name, at),
            zone=connection.zone,
            language=spoken,
            nameless=anonymous,
        )
        self.ledger.add_copy(name, "report", str(written.absolute()))
        return written

    def export(
        self, name: str, directory: Path, formats: Sequence[str], *, at: datetime | None = None
    ) -> list[Path]:
        """Write the tables for other tools."""
        self.connection(name)
        written = export(self.ledger, self.lake, name, directory, formats, moment=self._moment(name, at))
        self.ledger.add_copy(name, "export", str(directory.absolute()))
        return written

    def forget(self, name: str, object_name: str, record: str) -> int:
        """Erase one record from lake and ledger; returns how many places held it.

        Raises NotFoundError where nothing was kept of it: a mistyped id must not pass for a person erased;
        SettingsError under a legal hold. Copies are not touched: `copies` names them.
        """
        self.connection(name)
        self.ledger.refuse_under_hold("forget")
        with self.ledger.lease(f"connection/{name}"):
            erased = self.lake.forget(name, _object(object_name), record)
            erased += self.ledger.forget(name, object_name, record)
        if not erased:
            raise NotFoundError(
                "nothing is kept of it.",
                connection=name,
                record=f"{object_name} {record}",
                remedy="Look the id up in the CRM: upper and lower case count.",
            )
        return erased

    def copies(self, name: str) -> list[Copy]:
        """The backups, exports and reports with records of the connection that are still there."""
        return [copy for copy in self.ledger.copies(name) if Path(copy.place).exists()]

    # -- the store --

    def check_store(self) -> list[CheckItem]:
        """Whether ledger and lake agree; changes nothing."""
        return [
            CheckItem(found.name, "ok" if found.holds else "failed", found.detail, found.remedy)
            for found in check(self.ledger, self.lake)
        ]

    def backup(self, directory: Path) -> Backup:
        """Copy ledger and lake as they are at one instant, while runs may go on."""
        return backup(self.ledger, self.lake, directory)

    def restore(self, directory: Path, *, overwrite: bool = False) -> Backup:
        """Bring ledger and lake back to what they were when the backup was made."""
        return restore(self.ledger, self.lake, directory, overwrite=overwrite)

    def check_secret(self, name: str, secret: str) -> None:
        """Raises SettingsError where the connection (or `alerts`, or `serve`) has no secret of that name."""
        if name in (ALERTS, SERVE):
            kept = [f"{each.name}_{one}" for each in self.plugins.alerts.values() for one in each.secrets]
            ours = kept if name == ALERTS else list(SERVE_SECRETS)
            if secret not in ours:
                raise SettingsError(
                    f"there is no secret {secret!r} of {name}.", remedy=f"There are: {', '.join(ours)}."
                )
            return
        connection = self.connection(name)
        if secret not in connection.connector.secrets:
            known = ", ".join(connection.connector.secrets) or "none"
            raise SettingsError(
                f"{connection.settings.connector} has no secret {secret!r}.",
                connection=name,
                remedy=f"Its secrets: {known}.",
            )

    def set_secret(
        self, name: str, secret: str, value: SecretStr, *, store: Literal["keyring", "ledger"]
    ) -> None:
        """Keep one of the connection's secrets."""
        self.check_secret(name, secret)
        Secrets(name, files={}, ledger=self.ledger).set(secret, value, store=store)

    # -- inside --

    def _with_rights_of(self, admin: Session, session: Session, stack: ExitStack) -> Session:
        """A session that installs for one connection with the rights of another."""
        if admin.writer is None:
            return admin
        context = replace(
            admin.context,
            fields=session.connection.settings.fields,
            install_for=session.connector.user(),
        )
        writer = type(admin.writer)(context)
        stack.callback(writer.close)
        return replace(admin, context=context, writer=writer)

    def _moment(self, name: str, at: datetime | None) -> datetime:
        """The moment in UTC; one without an offset is read in the connection's zone."""
        if at is None:
            now = self._clock().astimezone(UTC)
            return now + timedelta(seconds=self._clock_behind(name))
        try:
            return (at if at.tzinfo else at.replace(tzinfo=self.connection(name).zone)).astimezone(UTC)
        except OverflowError as error:
            raise SettingsError(f"{at.isoformat()} is outside the years 1 to 9999.") from error

    def _clock_behind(self, name: str) -> float:
        """By how many seconds the clock is behind the latest moment the lake knows, where it was set back.

        Moments go forward only: until the clock has caught up, runs are as of that latest moment, and say so.
        A clock that is further behind than `CLOCK_HELD` is not made up for: the run is refused in words.
        """
        newest, now = self.ledger.newest(name), self._clock()
        behind = newest - now if newest else timedelta(0)
        return behind.total_seconds() if timedelta(0) < behind <= CLOCK_HELD else 0

    def _spent_today(self, name: str) -> int:
        return self.ledger.calls_since(name, self._clock() - timedelta(days=1))

    def _secrets(self, connection: Connection) -> Secrets:
        return Secrets(connection.name, files=connection.secret_files, ledger=self.ledger)

    @contextmanager
    def _alone(self, name: str) -> Iterator[Session]:
        """A session while no other process runs the connection. Raises BusyError.

        Afterwards the watchman looks at what the run came to.
        """
        self.connection(name)
        try:
            with self.ledger.lease(f"connection/{name}"), self._session(name) as session:
                yield session
        finally:
            self.look([name])

    def look(self, names: Sequence[str] | None = None) -> None:
        """Look whether all is well with these connections, or with all, and tell people what has changed.

        A ledger that can't be reached is said in the log; the next look sees what this one could not.
        """
        known = self.settings.names
        try:
            # A connection may have gone from the settings while its last run was under way.
            self.watchman.look(known if names is None else [name for name in names if name in known])
        except StoreError as error:
            self._log("nobody could look", level="warning", error=str(error))

    @contextmanager
    def _session(self, name: str) -> Iterator[Session]:
        connection = self.connection(name)
        secrets = self._secrets(connection)
        context = Context(
            connection=name,
            options=connection.options,
            secret=secrets.get,
            clock=self._clock,
            zone=connection.zone,
            fields=connection.settings.fields,
            api_budget=connection.settings.api_budget,
            api_reserve=connection.settings.api_reserve,
            spent_today=self._spent_today(name),
            vault=secrets.vault(),
            notes=LedgerNotes(self.ledger, name),
            calls=CallCounter(),
            log=self._log,
        )
        writer_class = self.plugins.writers.get(connection.settings.connector)
        with ExitStack() as stack:
            connector = connection.connector(context)
            stack.callback(connector.close)
            writer = writer_class(context) if writer_class else None
            if writer is not None:
                stack.callback(writer.close)
            try:
                yield Session(
                    connection=connection,
                    context=context,
                    connector=connector,
                    writer=writer,
                    metrics=[metric(connection.settings.metrics) for metric in self.plugins.metrics.values()],
                    ledger=self.ledger,
                    lake=Lake(self.settings.lake, self.ledger),  # its index is for one run at a time
                    retention=_retention(self.settings.store),
                    progress=self._progress,
                    stopping=self._stopping,
                )
            except CRMBridgeError as error:
                error.connection = error.connection or name
                raise


def _retention(store: StoreSettings) -> Retention:
    return Retention(
        keep_rows=store.keep_rows_days,
        daily_after=store.daily_after_days,
        monthly_after=store.monthly_after_days,
        keep_versions=store.keep_versions_days,
    )


def _budget(found: Forecast) -> CheckItem:
    if not found.is_short:
        return CheckItem("API budget", "ok", found.sentence)
    remedy = "Run less often, or raise api_budget: runs will stop at a checkpoint and go on later."
    return CheckItem("API budget", "warning", found.sentence, remedy)


def _names(stored: Sequence[StoredModel]) -> str:
    return ", ".join(each.model.name for each in stored)


def _object(name: str) -> ObjectName:
    for known in OBJECTS:
        if known == name:
            return known
    raise SettingsError(f"{name!r} is not an object; there are {', '.join(OBJECTS)}.")


def _chosen_fields(session: Session) -> list[CheckItem]:
    """Whether the lists of fields say what they mean: a name nobody has protects nothing."""
    chosen = session.connection.chosen
    if chosen.everything:
        return []
    name = session.name
    stored = [f"{each}.{found}" for each in OBJECTS for found in session.lake.attribute_names(name, each)]
    unknown = chosen.unknown([*stored, *left_out(session.context.notes)])
    if not unknown:
        return [CheckItem("fields that are read", "ok", "every name in the lists is one of the CRM's fields")]
    return [
        CheckItem(
            "fields that are read",
            "warning",
            f"no field seen so far is named {', '.join(map(repr, unknown))}",
            "Compare it with the CRM's own name for the field; one that is never read is not seen either.",
        )
    ]
