"""Alerts as signed HTTP requests, as https://www.standardwebhooks.com describes them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from typing import Annotated, ClassVar, Final, cast
from urllib.parse import urlsplit

import httpx2
from pydantic import AfterValidator, BaseModel, ConfigDict

from crmbridge.alerts.base import AlertChannel, as_json
from crmbridge.errors import SettingsError, TransientError
from crmbridge.store.ledger import Alert

TIMEOUT: Final = 10.0
_PREFIX: Final = "whsec_"
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def _is_safe(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return url
    raise ValueError("it must be an https address; http only on this machine")


class WebhookOptions(BaseModel):
    """`[alerts.webhook]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    url: Annotated[str, AfterValidator(_is_safe)]


class WebhookChannel(AlertChannel):
    """POSTs the alert as JSON with the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`."""

    name: ClassVar[str] = "webhook"
    Options: ClassVar[type[BaseModel]] = WebhookOptions
    secrets: ClassVar[tuple[str, ...]] = ("secret",)

    def send(self, alert: Alert) -> None:
        options = cast(WebhookOptions, self.context.options)
        body = json.dumps(as_json(alert), ensure_ascii=False).encode()
        identity = f"crmbridge-{alert.connection}-{alert.id}"
        stamp = str(int(self.context.clock().timestamp()))
        key = key_of(self.context.secret("secret").get_secret_value())
        headers = {
            "content-type": "application/json",
            "webhook-id": identity,
            "webhook-timestamp": stamp,
            "webhook-signature": signature(key, identity, stamp, body),
        }
        host = urlsplit(options.url).hostname
        try:
            with httpx2.Client(timeout=TIMEOUT, trust_env=host not in _LOOPBACK) as client:
                answer = client.post(options.url, content=body, headers=headers)
        except httpx2.HTTPError as error:
            raise TransientError(f"the webhook at {host} can't be reached: {error}.") from error
        if not answer.is_success:
            raise TransientError(f"the webhook at {host} answered {answer.status_code}.")


def key_of(secret: str) -> bytes:
    """The signing key: what follows `whsec_` is base64, any other secret is taken as it is."""
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise SettingsError(f"the webhook's secret is not base64 after {_PREFIX}.") from error


def signature(key: bytes, identity: str, stamp: str, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`."""
    signed = f"{identity}.{stamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
