"""Writing back: what writes into a CRM, and what it says of each record. The names here are public."""

from crmbridge.writeback.base import Change, InstallStep, Outcome, Writer

__all__ = ["Change", "InstallStep", "Outcome", "Writer"]
