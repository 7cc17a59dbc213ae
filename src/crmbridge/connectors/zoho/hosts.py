"""Zoho's data centres: the only hosts that ever see a token.

Source: https://www.zoho.com/crm/developer/docs/api/v8/multi-dc.html and the accounts server's
`/oauth/serverinfo`. The content hosts are those of the vendor's SDK; where the vendor has not said one, the
common form stands, and `content_url` overrides it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class DataCentre:
    """Hosts of one data centre: sign-in, API, file upload."""

    accounts: str
    api: str
    content: str


def _usual(tld: str) -> DataCentre:
    return DataCentre(f"accounts.zoho.{tld}", f"www.zohoapis.{tld}", f"content.zohoapis.{tld}")


DATA_CENTRES: Final[Mapping[str, DataCentre]] = MappingProxyType(
    {
        "us": _usual("com"),
        "eu": _usual("eu"),
        "in": _usual("in"),
        "au": _usual("com.au"),
        "cn": _usual("com.cn"),
        "jp": _usual("jp"),
        "uk": _usual("uk"),
        "ae": _usual("ae"),
        "sa": DataCentre("accounts.zoho.sa", "www.zohoapis.sa", "files.zoho.sa"),
        "ca": DataCentre("accounts.zohocloud.ca", "www.zohoapis.ca", "upload.zohocloud.ca"),
    }
)
_API_PREFIXES: Final = ("www.", "sandbox.", "developer.")
"""Production, sandboxes and developer editions share a data centre's domain."""


def base_of(url: str) -> str:
    """The URL without path, query and trailing slash. Raises ValueError where it has no host."""
    parts = urlsplit(url)
    if not parts.hostname or parts.username or parts.password:
        raise ValueError(f"{url!r} is not a URL such as https://www.zohoapis.eu")
    return f"{parts.scheme}://{parts.netloc}"


def is_loopback(url: str) -> bool:
    """Whether the URL is of this machine, where http will do."""
    return urlsplit(url).hostname in LOOPBACK


def is_accounts(url: str) -> bool:
    """Whether the URL is Zoho's sign-in, or of this machine."""
    return is_loopback(url) or _is_one_of(url, {centre.accounts for centre in DATA_CENTRES.values()})


def is_api(url: str) -> bool:
    """Whether the URL is Zoho's API, or of this machine."""
    hosts = {
        prefix + centre.api.removeprefix("www.")
        for centre in DATA_CENTRES.values()
        for prefix in _API_PREFIXES
    }
    return is_loopback(url) or _is_one_of(url, hosts)


def is_content(url: str) -> bool:
    """Whether the URL is one of Zoho's upload servers, or of this machine."""
    return is_loopback(url) or _is_one_of(url, {centre.content for centre in DATA_CENTRES.values()})


def content_of(api: str) -> str:
    """The upload server that belongs to an API server; on this machine they are one."""
    if is_loopback(api):
        return api
    domain = (urlsplit(api).hostname or "").partition(".")[2]
    centre = next(each for each in DATA_CENTRES.values() if each.api.partition(".")[2] == domain)
    return f"https://{centre.content}"


def api_of(accounts: str) -> str:
    """The API server of a sign-in's data centre; on this machine they are one."""
    if is_loopback(accounts):
        return accounts
    host = urlsplit(accounts).hostname
    return next(f"https://{each.api}" for each in DATA_CENTRES.values() if each.accounts == host)


def _is_one_of(url: str, hosts: set[str]) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" and parts.port in (None, 443) and parts.hostname in hosts
