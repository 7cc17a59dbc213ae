"""Connectors: what reads a CRM, and what those over HTTP share. The names here are public."""

from crmbridge.connectors.base import (
    CallCounter,
    CheckItem,
    Connector,
    Context,
    Cursor,
    MemoryNotes,
    Notes,
    Org,
    Page,
    SetAside,
)
from crmbridge.connectors.http import MemoryVault, Passing, Share, Token, TokenSource, Vault, retrying

__all__ = [
    "CallCounter",
    "CheckItem",
    "Connector",
    "Context",
    "Cursor",
    "MemoryNotes",
    "MemoryVault",
    "Notes",
    "Org",
    "Page",
    "Passing",
    "SetAside",
    "Share",
    "Token",
    "TokenSource",
    "Vault",
    "retrying",
]
