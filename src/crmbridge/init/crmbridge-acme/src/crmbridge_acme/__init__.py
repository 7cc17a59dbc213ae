"""Acme for crmbridge: the hooks by which it is found."""

from crmbridge.hookspecs import hookimpl
from crmbridge_acme.connector import AcmeConnector
from crmbridge_acme.writer import AcmeWriter

__all__ = ["AcmeConnector", "AcmeWriter"]


@hookimpl
def crmbridge_connectors() -> list[type[AcmeConnector]]:
    """The connector, for `connector = "acme"` in the settings."""
    return [AcmeConnector]


@hookimpl
def crmbridge_writers() -> list[type[AcmeWriter]]:
    """The writer of the connections of that connector."""
    return [AcmeWriter]
