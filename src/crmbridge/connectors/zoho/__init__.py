"""The Zoho CRM connector (API v8)."""

from crmbridge.connectors.zoho.connector import ZohoConnector
from crmbridge.connectors.zoho.options import Options

__all__ = ["Options", "ZohoConnector"]
