"""Signing in: tokens by client credentials, JWT bearer or refresh token, and the hook that carries them.

OAuth 2.0 flows: Salesforce Help, "OAuth Authorization Flows". No SOAP login: it ends with Summer 27.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

import jwt
import requests
from requests.auth import AuthBase

from crmbridge.connectors.base import Context
from crmbridge.connectors.http import Passing, Token, TokenSource, retrying
from crmbridge.connectors.salesforce.errors import PASSING_STATUS, policy, read_error
from crmbridge.connectors.salesforce.options import SalesforceOptions
from crmbridge.errors import AuthError, SettingsError

ASSERTION_LIFE: Final = timedelta(minutes=3)
"""The longest that Salesforce takes."""
CLOCK_TOLERANCE: Final = timedelta(seconds=30)
_REMEDIES: Final = {
    "invalid_grant": "Authorise crmbridge again, and see that the user is active and may use the app.",
    "invalid_client": "Correct client_id and client_secret.",
    "invalid_client_id": "Correct client_id.",
    "invalid_app_access": "Let the integration user's profile or permission set use the external client app.",
}


class SignIn:
    """Asks Salesforce for tokens, over a session that carries none."""

    def __init__(self, context: Context, options: SalesforceOptions, session: requests.Session) -> None:
        self._context, self._options, self._session = context, options, session
        self._ahead = timedelta(0)
        """How far Salesforce's clock is ahead of ours, as far as it has mattered."""
        self._server_now: datetime | None = None

    def fetch(self, former: Token | None) -> Token:
        """A new token. Raises AuthError, SettingsError and TransientError."""
        if self._options.auth == "client_credentials":
            return self._asked({"grant_type": "client_credentials", **self._client()})
        if self._options.auth == "jwt":
            return self._asserted()
        rotated = former.refresh if former else None
        given = {"grant_type": "refresh_token", **self._client()}
        if rotated:
            try:
                return self._asked({**given, "refresh_token": rotated}, rotated)
            except AuthError:
                # A person may have authorised anew since: then the secret holds another one.
                if self._secret("refresh_token") == rotated:
                    raise
        return self._asked({**given, "refresh_token": self._secret("refresh_token")}, rotated)

    def _asserted(self) -> Token:
        """A token for an assertion. It ends within minutes by Salesforce's clock: where ours is found to be
        wrong, it is made once more by that one.
        """
        grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
        try:
            return self._asked({"grant_type": grant, "assertion": self._assertion()})
        except AuthError:
            if self._server_now is None:
                raise
            ahead = self._server_now - self._context.clock()
            if abs(ahead - self._ahead) < CLOCK_TOLERANCE:
                raise
            self._ahead = ahead
            self._context.log("salesforce.clock_is_off", seconds=round(ahead.total_seconds()))
            return self._asked({"grant_type": grant, "assertion": self._assertion()})

    def _client(self) -> dict[str, str]:
        found = {"client_id": self._options.client_id}
        try:
            return {**found, "client_secret": self._secret("client_secret")}
        except SettingsError:
            if self._options.auth == "refresh_token":
                return found  # a public client has none
            raise

    def _secret(self, name: str) -> str:
        return self._context.secret(name).get_secret_value()

    def _assertion(self) -> str:
        path = self._options.private_key_file
        try:
            key = path.read_text(encoding="ascii") if path else ""
            return jwt.encode(
                {
                    "iss": self._options.client_id,
                    "sub": self._options.username,
                    "aud": self._options.token_url.removesuffix("/services/oauth2/token"),
                    "exp": int((self._context.clock() + self._ahead + ASSERTION_LIFE).timestamp()),
                },
                key,
                algorithm="RS256",
            )
        except (OSError, ValueError, jwt.exceptions.InvalidKeyError) as error:
            raise SettingsError(
                f"private_key_file {path} can't be used: {error}.",
                connection=self._context.connection,
                remedy="It is a file with the RSA private key in PEM form.",
            ) from error

    def _asked(self, form: dict[str, str], rotated: str | None = None) -> Token:
        def ask() -> Token:
            self._context.calls.add("auth")
            try:
                answer = self._session.post(self._options.token_url, data=form, allow_redirects=False)
                body = answer.content
            except requests.RequestException as error:
                raise Passing(f"{type(error).__name__} while signing in") from error
            self._server_now = date_of(answer)
            return self._token(answer, body, rotated)

        return retrying(ask, connection=self._context.connection)

    def _token(self, answer: requests.Response, body: bytes, rotated: str | None) -> Token:
        code, message = read_error(body)
        if answer.status_code == 200:
            try:
                found: dict[str, Any] = answer.json()
                return Token(
                    access=found["access_token"],
                    refresh=found.get("refresh_token") or rotated,
                    base_url=found.get("instance_url"),
                )
            except (ValueError, KeyError, TypeError) as error:
                raise Passing("an answer to the sign-in that holds no token") from error
        if answer.status_code in PASSING_STATUS or code is None or code == "unknown_error":
            raise Passing(f"HTTP {answer.status_code} while signing in: {message}")
        raise AuthError(
            "Salesforce refused the sign-in.",
            connection=self._context.connection,
            said=f"{code}: {message}",
            remedy=_REMEDIES.get(code, "See the org's login history for the reason."),
        )


class SessionAuth(AuthBase):
    """The one hook on every request: it puts the token in, and when the session has ended, it gets another
    one and sends the very same request again, once.

    `revised(body, former, new)` gives the body with the token exchanged, for SOAP, which carries it inside.
    """

    def __init__(self, tokens: TokenSource, is_home: Callable[[str], bool]) -> None:
        self._tokens, self._is_home = tokens, is_home

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if not self._is_home(request.url or ""):
            raise AuthError(f"the token is not sent to {request.url}: it is not the configured org.")
        token = self._tokens.token()
        self._put(request, token)

        def again(answer: requests.Response, **how: Any) -> requests.Response:
            if not is_session_over(answer):
                return answer
            answer.close()
            renewed = self._tokens.renewed(token)
            resent = answer.request.copy()
            resent.hooks = {"response": []}
            self._put(resent, renewed, former=token)
            second: requests.Response = answer.connection.send(resent, **how)
            second.history.append(answer)
            second.request = resent
            return second

        request.register_hook("response", again)
        return request

    @staticmethod
    def _put(request: requests.PreparedRequest, token: Token, former: Token | None = None) -> None:
        request.headers["Authorization"] = f"Bearer {token.access}"
        if "SOAPAction" in request.headers and isinstance(request.body, bytes):
            held = former.access if former else SOAP_TOKEN
            request.body = request.body.replace(held.encode(), token.access.encode())
            request.headers["Content-Length"] = str(len(request.body))


SOAP_TOKEN: Final = "the-token-goes-here"  # noqa: S105 - a place, not a token
"""What stands in a SOAP body where the session id goes."""


def is_session_over(answer: requests.Response) -> bool:
    """Whether an answer says that the session has ended, in any of the envelopes."""
    if answer.status_code == 401:
        return True
    if answer.status_code not in (400, 403, 500):
        return False
    body = answer.content
    if answer.status_code == 500:
        return b"INVALID_SESSION_ID" in body and b"Fault" in body
    code, message = read_error(body)
    return policy(code, message) == "session"


def date_of(answer: requests.Response) -> datetime | None:
    """The server's clock, by an answer; None where it does not tell."""
    try:
        moment = parsedate_to_datetime(answer.headers.get("Date", ""))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
