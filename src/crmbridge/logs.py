"""Structured log lines on standard error: ids and counts, never names, e-mails or secrets."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import Final, Literal

import structlog

_QUIET_SECONDS: Final = 10.0
"""A long step says this often how far it is."""


def configure(*, verbose: bool, json_lines: bool) -> None:
    """Set up the process's log lines; called once by the command line."""
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if json_lines
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty() and "NO_COLOR" not in os.environ)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO if verbose else logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def log(event: str, *, level: Literal["info", "warning"] = "info", **values: object) -> None:
    """One line; warnings are shown without `--verbose` too."""
    getattr(structlog.get_logger(), level)(event, **values)


class Steps:
    """Progress as log lines: one when a step begins or ends, and now and then while it lasts."""

    def __init__(self) -> None:
        self._step, self._said = "", 0.0

    def __call__(self, step: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if step == self._step and done != total and now - self._said < _QUIET_SECONDS:
            return
        self._step, self._said = step, now
        log("progress", step=step, done=done, total=total)

    def close(self) -> None:
        """Nothing is left behind in a log."""
