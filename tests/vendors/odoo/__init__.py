"""A strict stand-in of Odoo's external API."""

from tests.vendors.odoo.database import Database, Refusal
from tests.vendors.odoo.server import Server, answer

__all__ = ["Database", "Refusal", "Server", "answer"]
