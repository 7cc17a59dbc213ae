"""Writing into Zoho CRM: our custom fields, and their values."""

from crmbridge.writeback.zoho.writer import ZohoWriter

__all__ = ["ZohoWriter"]
