"""What a lead is in this portal."""

from __future__ import annotations

from crmbridge.connectors.hubspot import objects
from crmbridge.connectors.hubspot.answers import Refused
from crmbridge.connectors.hubspot.client import Client
from crmbridge.connectors.hubspot.objects import HubSpotObject


def lead_kind(client: Client) -> HubSpotObject:
    """HubSpot's leads, or its contacts where the portal or the key has no leads, or the settings say so.

    Leads come with Sales Hub Professional; elsewhere HubSpot answers 400, 403 or 404.
    """
    choice = client.options.lead_object
    if choice == "auto":
        try:
            client.get(client.paths.objects.format(objects.LEADS.name), [("limit", "1")])
        except Refused as error:
            client.context.log("hubspot.no_leads", status=error.status, code=error.code)
            choice = "contacts"
    return objects.CONTACTS_AS_LEADS if choice == "contacts" else objects.LEADS
