"""Alerts by e-mail, over SMTP."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Annotated, ClassVar, Final, Literal, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from crmbridge.alerts.base import AlertChannel, text, title
from crmbridge.errors import SettingsError, TransientError
from crmbridge.store.ledger import Alert

TIMEOUT: Final = 20.0
_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def _is_address(address: str) -> str:
    if "@" not in parseaddr(address)[1] or "\n" in address or "\r" in address:
        raise ValueError(f"{address!r} is not an e-mail address")
    return address


Address = Annotated[str, AfterValidator(_is_address)]


class EmailOptions(BaseModel):
    """`[alerts.email]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    host: str
    port: int | None = Field(default=None, gt=0, lt=65536)
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    sender: Address
    to: Annotated[tuple[Address, ...], Field(min_length=1)]


class EmailChannel(AlertChannel):
    """One plain mail for each alert. The password is asked for where there is a `username`."""

    name: ClassVar[str] = "email"
    Options: ClassVar[type[BaseModel]] = EmailOptions
    secrets: ClassVar[tuple[str, ...]] = ("password",)

    def send(self, alert: Alert) -> None:
        options = cast(EmailOptions, self.context.options)
        if options.username and options.security == "none" and options.host not in _LOOPBACK:
            raise SettingsError(
                "the mail server's password would travel in plain text.",
                remedy='Set security = "starttls" or "tls" under [alerts.email].',
            )
        message = self._message(alert, options)
        try:
            with self._connect(options) as server:
                if options.username:
                    server.login(options.username, self.context.secret("password").get_secret_value())
                server.send_message(message)
        except (smtplib.SMTPException, OSError) as error:
            raise TransientError(f"the mail server {options.host} did not take the mail: {error}.") from error

    def _connect(self, options: EmailOptions) -> smtplib.SMTP:
        port = options.port or _PORTS[options.security]
        trusted = ssl.create_default_context()
        if options.security == "tls":
            return smtplib.SMTP_SSL(options.host, port, timeout=TIMEOUT, context=trusted)
        server = smtplib.SMTP(options.host, port, timeout=TIMEOUT)
        if options.security == "starttls":
            try:
                server.starttls(context=trusted)
            except BaseException:
                server.close()
                raise
        return server

    def _message(self, alert: Alert, options: EmailOptions) -> EmailMessage:
        message = EmailMessage()
        message["From"] = options.sender
        message["To"] = ", ".join(options.to)
        message["Subject"] = f"[crmbridge] {title(alert)}"
        message["Date"] = format_datetime(self.context.clock())
        domain = parseaddr(options.sender)[1].rpartition("@")[2]
        # The same alert sent again after a crash has the same id, so that a mailbox can show it once.
        message["Message-ID"] = f"<crmbridge-{alert.connection}-{alert.id}-{alert.state}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text(alert))
        return message
