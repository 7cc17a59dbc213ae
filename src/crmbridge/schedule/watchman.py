"""The watchman: looks whether all is well with every connection, and tells people what has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

from crmbridge.alerts.base import AlertChannel, ChannelContext
from crmbridge.config import ALERTS, Settings
from crmbridge.errors import BusyError, CRMBridgeError
from crmbridge.plugins import Plugins
from crmbridge.schedule import review
from crmbridge.schedule.budget import DAY, HISTORY, Forecast, forecast
from crmbridge.schedule.due import Due, due, missed, served_ahead
from crmbridge.secrets import Secrets
from crmbridge.store.ledger import Alert, Ledger, Run, Seen, Watch

FIRST_WAIT: Final = timedelta(seconds=15)
LONGEST_WAIT: Final = timedelta(hours=1)
TRIED_FOR: Final = timedelta(days=3)
"""An alert that no try has delivered for so long is given up, with a line in the log."""
DELIVERY: Final = "alerts"
"""The lease of who delivers."""


class Watchman:
    """One look at one installation. Cheap to make; holds nothing open."""

    def __init__(
        self,
        settings: Settings,
        plugins: Plugins,
        ledger: Ledger,
        *,
        clock: Callable[[], datetime],
        log: Callable[..., None],
    ) -> None:
        self.settings, self.plugins, self.ledger = settings, plugins, ledger
        self._clock, self._log = clock, log

    def due(self, name: str) -> Due | None:
        """The connection's run that is due now. Where the clock was set back, slots count from now on."""
        common = self.settings.common(name)
        timetable = common.timetable()
        if timetable is None:
            return None
        watch, now = self._watch(name), self._clock()
        if served_ahead(watch, now):
            self._log("clock was set back", level="warning", connection=name, served=watch.served.isoformat())
            self.ledger.set_served(watch, now)
            watch = self._watch(name)
        return due(timetable, watch, self.ledger.last_scheduled(name), now)

    def look(self, names: Iterable[str]) -> None:
        """Look at connections, note what has changed, and tell it."""
        channels = [channel.name for channel in self.settings.channels(self.plugins)]
        for name in names:
            self._look_at(name, channels)
        self.deliver()

    def deliver(self) -> None:
        """Tell what is still to be told, one process at a time; what a channel refuses is tried again."""
        if not self.ledger.due_alerts(self._clock()):
            return
        try:
            with self.ledger.lease(DELIVERY):
                channels = self._channels()
                for alert in self.ledger.due_alerts(self._clock()):
                    self._deliver(alert, channels)
        except BusyError:
            return  # whoever holds it tells this too

    def forecast(self, name: str, *, daily_limit: int | None = None) -> Forecast:
        """What the connection's runs will need of the API; `daily_limit` where it was just heard."""
        common, now = self.settings.common(name), self._clock()
        return forecast(
            name,
            self.ledger.runs(name, 3 * HISTORY),
            timetable=common.timetable(),
            spent_today=self.ledger.calls_since(name, now - DAY),
            api_budget=common.api_budget,
            daily_limit=daily_limit,
            now=now,
        )

    def _watch(self, name: str) -> Watch:
        return self.ledger.watch(name, self.settings.common(name).timetable_text)

    def _look_at(self, name: str, channels: list[str]) -> None:
        kinds = self.settings.alerts.kinds

        def take(watch: Watch, seen: Iterable[Seen], reviewed: int | None = None) -> None:
            self.ledger.see(watch, [each for each in seen if each.kind in kinds], channels, reviewed)

        watch = self._watch(name)
        ended = self.ledger.unreviewed(watch)
        if ended:
            take(watch, review.of_runs(ended), ended[-1].id)
        present = [self._slots(name, watch), self._secrets(name)]
        if any(run.kind in ("sync", "score") for run in ended):
            present.append(self._models(name))
        wrong = {each.kind for each in self.ledger.conditions(name)}
        news = [each for each in present if each.condition is not None or each.kind in wrong]
        if news:
            take(watch, news)

    def _slots(self, name: str, watch: Watch) -> Seen:
        common, now = self.settings.common(name), self._clock()
        timetable = common.timetable()
        longest = timedelta(minutes=self.settings.alerts.late_minutes)
        if timetable is None:
            return review.of_slots(name, None, None, now)
        newest = self.ledger.runs(name, 1)
        busy_until = newest[0].finished_at if newest else None
        late = missed(timetable, watch, now, longest, busy_until=busy_until)
        last = self.ledger.last_scheduled(name)
        cut_off: Run | None = None
        if last is not None and last.status == "running" and now - last.started_at > longest:
            cut_off = last
        if (late or cut_off) and self.ledger.is_held(f"connection/{name}"):
            late = cut_off = None  # a run is under way: what passes meanwhile is made up for by the next
        return review.of_slots(name, late, cut_off, now)

    def _secrets(self, name: str) -> Seen:
        expires = self.settings.common(name).expires
        return review.of_secrets(name, expires, self._clock(), self.settings.alerts.expiry_days)

    def _models(self, name: str) -> Seen:
        newest = {}
        for metric, found in self.plugins.metrics.items():
            for object_name in found.objects:
                for stored in self.ledger.models(name, metric, object_name, limit=1):
                    if "drift" in stored.model.card:
                        newest[object_name] = stored
        return review.of_models(name, newest, self._clock())

    def _channels(self) -> dict[str, AlertChannel]:
        made = {}
        for each in self.settings.channels(self.plugins):
            secrets = Secrets(ALERTS, files=each.secret_files, ledger=self.ledger)
            context = ChannelContext(
                options=each.options,
                secret=lambda secret, of=secrets, name=each.name: of.get(f"{name}_{secret}"),  # type: ignore[misc]
                clock=self._clock,
                log=self._log,
            )
            made[each.name] = each.channel(context)
        return made

    def _deliver(self, alert: Alert, channels: dict[str, AlertChannel]) -> None:
        left = []
        for name in alert.undelivered:
            channel = channels.get(name)
            if channel is None:
                continue  # taken out of the settings since
            try:
                channel.send(alert)
            except CRMBridgeError as error:
                left.append(name)
                self._log(
                    "alert not delivered", level="warning", alert=alert.id, channel=name, error=str(error)
                )
        now = self._clock()
        wait = min(FIRST_WAIT * 2 ** min(alert.attempts, 20), LONGEST_WAIT)
        if left and now - alert.at > TRIED_FOR:
            self._log("alert given up", level="warning", alert=alert.id, channels=left)
            self.ledger.delivered(alert, left, None)
        else:
            self.ledger.delivered(alert, left, now + wait if left else None)
