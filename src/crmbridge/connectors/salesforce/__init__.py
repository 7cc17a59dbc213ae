"""Salesforce: REST and Bulk API 2.0, read. What it writes is in `crmbridge.writeback.salesforce`."""

from crmbridge.connectors.salesforce.connector import SalesforceConnector
from crmbridge.connectors.salesforce.options import SalesforceOptions

__all__ = ["SalesforceConnector", "SalesforceOptions"]
