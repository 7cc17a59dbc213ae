"""Acme's API: where it is, who asks, and what its answers mean."""

from __future__ import annotations

from typing import Any, cast

import httpx2
from pydantic import BaseModel, ConfigDict, Field

from crmbridge.connectors import Context, Passing, retrying
from crmbridge.errors import AuthError, QuotaError


class Options(BaseModel):
    """The settings of one connection. Secrets are not among them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    url: str = Field(description="The address of your Acme, such as https://acme.example")


class Lost(Exception):
    """A request left, and no answer came: only reading back tells whether it took effect."""


class Client:
    """One connection's calls. `transport` is for tests."""

    def __init__(self, context: Context, transport: httpx2.BaseTransport | None = None) -> None:
        self.context = context
        self.options = cast(Options, context.options)
        self._http = httpx2.Client(base_url=self.options.url, timeout=30.0, transport=transport)

    def call(self, method: str, path: str, *, kind: str = "read", **sent: Any) -> Any:
        """Send and return the answer's JSON; what passes is tried again.

        `kind` is what the call is counted as. Raises AuthError, QuotaError, TransientError, and Lost where
        a write may have taken effect.
        """

        def attempt() -> Any:
            token = self.context.secret("token").get_secret_value()
            self.context.calls.add(kind)
            try:
                response = self._http.request(
                    method, path, headers={"Authorization": f"Bearer {token}"}, **sent
                )
            except httpx2.TransportError as error:
                if kind == "write":
                    raise Lost(str(error)) from error
                raise Passing(f"no answer: {error}") from error
            return self._read(response)

        return retrying(attempt, connection=self.context.connection)

    def _read(self, response: httpx2.Response) -> Any:
        if response.status_code == 401:
            raise AuthError(
                "Acme refuses the token.",
                connection=self.context.connection,
                said=response.text,
                remedy=f"Make a new one and run `crmbridge secret set {self.context.connection} token`.",
            )
        if response.status_code == 429 and "daily" in response.text:
            raise QuotaError(
                "Acme's daily limit is used up.", connection=self.context.connection, said=response.text
            )
        if response.status_code == 429 or response.status_code >= 500:
            raise Passing(f"HTTP {response.status_code}")
        response.raise_for_status()
        return response.json()

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()
