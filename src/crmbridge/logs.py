"""Structured log lines on standard error: ids and counts, never names, e-mails or secrets."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog


def configure(*, verbose: bool, json_lines: bool) -> None:
    """Set up the process's log lines; called once by the command line."""
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if json_lines
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
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
