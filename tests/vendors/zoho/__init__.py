"""A stand-in for Zoho CRM, API v8. See README.md for what each part rests on."""

from tests.vendors.zoho.org import Fault, Org, Switches
from tests.vendors.zoho.server import ZohoServer

__all__ = ["Fault", "Org", "Switches", "ZohoServer"]
