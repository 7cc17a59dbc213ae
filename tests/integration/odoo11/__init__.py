"""A real Odoo 11 for tests: where it can be had, made once a session, on loopback."""
