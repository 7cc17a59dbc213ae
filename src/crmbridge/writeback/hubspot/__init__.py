"""Writing back to HubSpot."""

from crmbridge.writeback.hubspot.writer import HubSpotWriter

__all__ = ["HubSpotWriter"]
