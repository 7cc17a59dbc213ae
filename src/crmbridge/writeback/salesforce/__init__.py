"""Writing to Salesforce: its custom fields, permission sets and values."""

from crmbridge.writeback.salesforce.writer import SalesforceWriter

__all__ = ["SalesforceWriter"]
