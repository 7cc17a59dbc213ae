"""The `hubspot` connector: HubSpot's CRM, by its REST API."""

from crmbridge.connectors.hubspot.connector import HubSpotConnector
from crmbridge.connectors.hubspot.options import Options

__all__ = ["HubSpotConnector", "Options"]
