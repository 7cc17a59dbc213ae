"""The command of the scheduler's process: signals come in here."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from crmbridge import __version__, config, logs
from crmbridge.bridge import Bridge, utc_now
from crmbridge.cli.shared import given
from crmbridge.errors import CRMBridgeError
from crmbridge.schedule.ending import Ending
from crmbridge.schedule.exposition import Exposition
from crmbridge.schedule.health import HealthServer
from crmbridge.schedule.service import Service


def serve(
    host: Annotated[str | None, typer.Option(help="Where /health and /metrics answer.")] = None,
    port: Annotated[int | None, typer.Option(help="Their port; 0 takes any free one.")] = None,
) -> None:
    """The scheduler, health and metrics. SIGTERM stops at a checkpoint, SIGHUP reads the settings again."""
    logs.configure(verbose=True, json_lines=given.json_lines)
    ending = Ending()
    with (
        closing(ending),
        Bridge.open(given.config, log=logs.log, stopping=lambda: ending.asked) as bridge,
    ):
        bridge.look()
        service = Service(bridge, ending=ending, log=logs.log, clock=utc_now)
        exposition = Exposition(
            lambda: bridge.watchman, running=lambda: service.running, clock=utc_now, version=__version__
        )
        wanted = bridge.settings.serve
        health = HealthServer(
            host or wanted.host,
            wanted.port if port is None else port,
            ready=lambda: {"scheduler": service.is_alive, "ledger": bridge.ledger_answers()},
            metrics=exposition.text,
            token=bridge.serve_token(),
        )
        _listen(service, bridge)
        health.start()
        logs.log("health and metrics", host=health.address[0], port=health.address[1])
        try:
            service.start()
            service.watch()
        finally:
            health.close()


def _listen(service: Service, bridge: Bridge) -> None:
    """SIGTERM and Ctrl-C stop the service, a second one ends the process at once; SIGHUP reloads."""

    def stop(number: int, frame: object) -> None:
        if service.stopping:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        service.end()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda number, frame: service.reload(lambda: _reload(bridge)))


def _reload(bridge: Bridge) -> None:
    """Take the settings file as it is now; a mistake in it is said, and the former settings stay."""
    path: Path = bridge.settings.path
    try:
        bridge.change_settings(config.load(path))
    except CRMBridgeError as error:
        logs.log("settings not taken", level="warning", error=str(error))
    else:
        logs.log("settings taken", connections=len(bridge.settings.names))


def add_to(app: typer.Typer) -> None:
    """Put this command on the command line."""
    app.command()(serve)
