"""Odoo for crmbridge: the hooks by which it is found."""

from __future__ import annotations

from crmbridge.hookspecs import hookimpl
from crmbridge_odoo.connector import OdooConnector
from crmbridge_odoo.options import Options
from crmbridge_odoo.writer import OdooWriter

__all__ = ["OdooConnector", "OdooWriter", "Options"]


@hookimpl
def crmbridge_connectors() -> list[type[OdooConnector]]:
    """The connector, for `connector = "odoo"` in the settings."""
    return [OdooConnector]


@hookimpl
def crmbridge_writers() -> list[type[OdooWriter]]:
    """The writer of the connections of that connector."""
    return [OdooWriter]
