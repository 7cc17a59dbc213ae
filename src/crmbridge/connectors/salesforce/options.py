"""The settings of the `salesforce` connector: `[connections.NAME]`."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from crmbridge.model.records import Outcome


def is_loopback(host: str) -> bool:
    """Whether a host name is this machine itself."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _url(text: str) -> str:
    parts = urlsplit(text)
    if not parts.hostname or parts.query or parts.fragment or parts.path.strip("/"):
        raise ValueError(f"{text!r} is not the address of an org such as https://acme.my.salesforce.com")
    if parts.hostname.endswith(".lightning.force.com"):
        domain = parts.hostname.removesuffix(".lightning.force.com")
        raise ValueError(f"{text!r} is where people look; the API is at https://{domain}.my.salesforce.com")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ValueError(f"{text!r} must begin with https://")
    return f"{parts.scheme}://{parts.netloc}"


def _version(text: str) -> str:
    found = re.fullmatch(r"v?(\d{2,3})\.0", text)
    if not found or int(found[1]) < 50:
        raise ValueError(f"{text!r} is not a version of the API such as '65.0' (50.0 at least)")
    return f"{found[1]}.0"


Url = Annotated[str, AfterValidator(_url)]


class SalesforceOptions(BaseModel):
    """How to sign in, and what the org's own values mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instance_url: Url
    auth: Literal["client_credentials", "jwt", "refresh_token"] = "client_credentials"
    client_id: str
    username: str | None = None
    private_key_file: Path | None = None
    api_version: Annotated[str, AfterValidator(_version)] = "65.0"
    disqualified: tuple[str, ...] = ("Closed - Not Converted", "Unqualified")
    """Values of Lead.Status that mean: closed without being converted."""
    outcomes: dict[str, Outcome] = {}
    """Values of Task.CallDisposition and what they mean."""
    fulfilled: str = "ActivatedDate"
    """The field of Order that says when an order was fulfilled."""
    ignore: tuple[str, ...] = ()
    """Fields that are never read: `Lead.SSN__c`."""
    lookback: int = Field(default=600, ge=0, le=86_400)
    """Seconds before the last read that are read again: transactions commit later than they are stamped."""
    rest_rows: int = Field(default=50_000, ge=2_000)
    """More rows than this are read by Bulk API 2.0."""
    bulk_changes: int = Field(default=2_000, ge=200)
    """More changes than this are written by Bulk API 2.0."""
    login_url: Url | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.auth == "jwt" and (self.username is None or self.private_key_file is None):
            raise ValueError("auth = 'jwt' needs username and private_key_file")
        return self

    @property
    def token_url(self) -> str:
        """Where tokens come from: `login_url`, or the org's own domain (which client credentials demand); for
        a JWT, which names its audience, Salesforce's common address, another one for sandboxes.
        """
        login = self.instance_url
        if self.auth == "jwt":
            host = urlsplit(self.instance_url).hostname or ""
            is_sandbox = ".sandbox." in host or "--" in host.partition(".")[0]
            login = f"https://{'test' if is_sandbox else 'login'}.salesforce.com"
        return f"{self.login_url or login}/services/oauth2/token"

    def digest(self, zone: str) -> str:
        """A hash of all settings that change what a record becomes: records are read anew when it changes."""
        chosen = self.model_dump(mode="json", include={"disqualified", "outcomes", "fulfilled", "ignore"})
        return hashlib.sha256(json.dumps([chosen, zone], sort_keys=True).encode()).hexdigest()[:16]
