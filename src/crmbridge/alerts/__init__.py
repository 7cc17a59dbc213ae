"""Alerts: how people are told that something began to be wrong with a connection, or has ended."""

from crmbridge.alerts.base import AlertChannel, ChannelContext, as_json, text, title
from crmbridge.store.ledger import Alert

__all__ = ["Alert", "AlertChannel", "ChannelContext", "as_json", "text", "title"]
