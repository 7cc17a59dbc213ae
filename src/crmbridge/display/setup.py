"""Pages about what is installed: checks, plugins, our fields, models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from crmbridge.connectors.base import CheckItem
from crmbridge.display.tables import TICKS, at, table
from crmbridge.plugins import PluginInfo
from crmbridge.store.ledger import StoredModel
from crmbridge.writeback.base import InstallStep

_STATES: Final = {
    "present": "already there",
    "planned": "would be done",
    "done": "done",
    "conflict": "conflict",
}


def checks(items: Sequence[CheckItem]) -> RenderableType:
    """The table of ticks."""
    page = table("", "check", "seen")
    for item in items:
        detail = escape(item.detail) + (f"\n[dim]{escape(item.remedy)}[/]" if item.remedy else "")
        page.add_row(TICKS[item.state], escape(item.name), detail)
    return page


def plugins(infos: Sequence[PluginInfo]) -> RenderableType:
    """What is installed, and what failed."""
    page = table("", "plugin", "from", "connectors", "writers", "metrics", "alerts")
    failed: list[RenderableType] = []
    for info in infos:
        lists = [", ".join(names) for names in (info.connectors, info.writers, info.metrics, info.alerts)]
        page.add_row(TICKS["failed" if info.error else "ok"], escape(info.name), escape(info.source), *lists)
        if info.error:
            failed.append(Text(f"{info.name}: {info.error}", style="red"))
    return Group(page, *([""] if failed else []), *failed)


def steps(found: Sequence[InstallStep]) -> RenderableType:
    """What install or uninstall did or would do."""
    page = table("what", "state")
    for step in found:
        state = _STATES[step.state] + (f"\n[dim]{escape(step.remedy)}[/]" if step.remedy else "")
        page.add_row(escape(step.what), state)
    return page if found else Text("Nothing to do.")


def model_dicts(stored: Sequence[StoredModel]) -> list[dict[str, Any]]:
    """The stored models, newest first, as `--json` prints them."""
    return [
        {
            "name": one.model.name,
            "status": one.status,
            "held_back": one.is_held_back,
            "created_at": one.created_at,
            "run": one.run,
        }
        for one in stored
    ]


def models(stored: Sequence[StoredModel]) -> RenderableType:
    """The stored models, newest first: the names that `--publish` takes."""
    page = table("model", "status", "!fitted (UTC)", "#run")
    for one in stored:
        status = f"{one.status}, held back" if one.is_held_back else one.status
        page.add_row(one.model.name, status, at(one.created_at), str(one.run))
    return Group("", page)
