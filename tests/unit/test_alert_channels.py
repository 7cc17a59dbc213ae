"""What people get: a signed request, a mail, a line in the log; what, since when, and what to do."""

from __future__ import annotations

import base64
import email
import hashlib
import hmac
import json
import socketserver
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import policy
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from crmbridge.alerts.base import AlertChannel, ChannelContext
from crmbridge.alerts.email import EmailChannel
from crmbridge.alerts.log import LogChannel
from crmbridge.alerts.webhook import WebhookChannel
from crmbridge.errors import SettingsError, TransientError
from crmbridge.store.ledger import Alert

SINCE = datetime(2026, 11, 24, 2, tzinfo=UTC)
RAISED = Alert(
    7,
    "acme",
    "failing",
    "raised",
    SINCE + timedelta(minutes=1),
    SINCE,
    "Run 12 failed: no answer — “503”.",
    "Look.",
    [],
    0,
    None,
)
CLEARED = Alert(
    8, "acme", "failing", "cleared", SINCE + timedelta(hours=2), SINCE, RAISED.what, "", [], 0, None
)


def channel(kind: type[AlertChannel], secret: str = "", **options: Any) -> tuple[AlertChannel, list[Any]]:
    lines: list[Any] = []
    context = ChannelContext(
        options=kind.Options.model_validate(options),
        secret=lambda name: SecretStr(secret),
        clock=lambda: RAISED.at,
        log=lambda event, **values: lines.append((event, values)),
    )
    return kind(context), lines


class Web:
    """A server that keeps requests, and answers with `status`."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                web.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(web.status)
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"


@pytest.fixture
def web() -> Iterator[Web]:
    made = Web()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_a_webhook_is_signed_so_that_its_receiver_can_tell_it_is_ours(web: Web) -> None:
    key = b"k" * 24
    hook, _ = channel(WebhookChannel, "whsec_" + base64.b64encode(key).decode(), url=web.url)
    hook.send(RAISED)
    headers, body = web.got[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    assert headers["webhook-timestamp"] == str(int(RAISED.at.timestamp()))
    assert json.loads(body) == {
        "id": 7,
        "connection": "acme",
        "kind": "failing",
        "state": "raised",
        "title": "acme: runs fail",
        "at": "2026-11-24T02:01:00+00:00",
        "since": "2026-11-24T02:00:00+00:00",
        "what": RAISED.what,
        "remedy": "Look.",
    }


def test_the_same_alert_sent_again_has_the_same_id_and_another_has_another(web: Web) -> None:
    hook, _ = channel(WebhookChannel, "any", url=web.url)
    for alert in (RAISED, RAISED, CLEARED):
        hook.send(alert)
    ids = [headers["webhook-id"] for headers, _ in web.got]
    assert ids[0] == ids[1] != ids[2]


def test_a_webhook_that_does_not_take_it_is_an_error_for_a_later_try(web: Web) -> None:
    hook, _ = channel(WebhookChannel, "any", url=web.url)
    web.status = 500
    with pytest.raises(TransientError, match="answered 500"):
        hook.send(RAISED)
    gone, _ = channel(WebhookChannel, "any", url="http://127.0.0.1:9/hook")
    with pytest.raises(TransientError, match="can't be reached"):
        gone.send(RAISED)


def test_a_webhook_secret_that_is_cut_off_is_named(web: Web) -> None:
    hook, _ = channel(WebhookChannel, "whsec_abc", url=web.url)
    with pytest.raises(SettingsError, match="not base64"):
        hook.send(RAISED)


@pytest.mark.parametrize("url", ["http://hooks.example.org/x", "ftp://127.0.0.1/x", "hooks.example.org"])
def test_alerts_leave_this_machine_only_over_tls(url: str) -> None:
    with pytest.raises(ValidationError, match="https"):
        channel(WebhookChannel, "any", url=url)


class Mail:
    """A mail server: keeps the messages, and what it was told beside them."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.said: list[str] = []
        self.refuses = False
        mail = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"220 mail\r\n")
                while line := self.rfile.readline():
                    words = line.decode().strip()
                    mail.said.append(words)
                    command = words.split()[0].upper() if words else ""
                    if command == "DATA":
                        self.wfile.write(b"354 go\r\n")
                        lines = []
                        while (part := self.rfile.readline()) != b".\r\n":
                            lines.append(part)
                        mail.messages.append(b"".join(lines))
                    if command == "EHLO":
                        self.wfile.write(b"250-mail\r\n250 AUTH PLAIN\r\n")
                    elif command == "RCPT" and mail.refuses:
                        self.wfile.write(b"550 nobody here\r\n")
                    elif command == "AUTH":
                        self.wfile.write(b"235 fine\r\n")
                    else:
                        self.wfile.write(b"221 bye\r\n" if command == "QUIT" else b"250 ok\r\n")
                    if command == "QUIT":
                        return

        self.server = socketserver.TCPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]


@pytest.fixture
def mail() -> Iterator[Mail]:
    made = Mail()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def options(mail: Mail, **more: Any) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": mail.port,
        "security": "none",
        "sender": "crmbridge <bridge@example.org>",
        "to": ["admin@example.org", "night@example.org"],
        **more,
    }


def test_a_mail_says_what_since_when_and_what_to_do(mail: Mail) -> None:
    post, _ = channel(EmailChannel, **options(mail))
    post.send(RAISED)
    message = email.message_from_bytes(mail.messages[0], policy=policy.default)
    assert message["Subject"] == "[crmbridge] acme: runs fail"
    assert message["To"] == "admin@example.org, night@example.org"
    assert message["Auto-Submitted"] == "auto-generated"
    body = message.get_content()
    for said in (RAISED.what, "Since: 2026-11-24 02:00:00 UTC", "What to do: Look."):
        assert said in body
    assert [words for words in mail.said if words.startswith("rcpt")] == [
        "rcpt TO:<admin@example.org>",
        "rcpt TO:<night@example.org>",
    ]


def test_the_mail_of_an_end_says_from_when_to_when(mail: Mail) -> None:
    post, _ = channel(EmailChannel, **options(mail))
    post.send(CLEARED)
    body = email.message_from_bytes(mail.messages[0], policy=policy.default).get_content()
    assert "runs work again" in body
    assert "from 2026-11-24 02:00:00 UTC to 2026-11-24 04:00:00 UTC" in body


def test_a_password_goes_to_the_mail_server_and_nowhere_else(mail: Mail) -> None:
    post, lines = channel(EmailChannel, "s3cret", **options(mail, username="bridge"))
    post.send(RAISED)
    wanted = base64.b64encode(b"\0bridge\0s3cret").decode()
    assert f"AUTH PLAIN {wanted}" in mail.said
    assert lines == []


def test_a_password_is_never_sent_in_plain_text_over_the_network() -> None:
    post, _ = channel(
        EmailChannel,
        "s3cret",
        host="mail.example.org",
        security="none",
        username="bridge",
        sender="a@example.org",
        to=["b@example.org"],
    )
    with pytest.raises(SettingsError, match="plain text"):
        post.send(RAISED)


def test_a_mail_server_that_refuses_or_has_no_tls_is_an_error_for_a_later_try(mail: Mail) -> None:
    mail.refuses = True
    post, _ = channel(EmailChannel, **options(mail))
    with pytest.raises(TransientError, match="did not take the mail"):
        post.send(RAISED)
    secure, _ = channel(EmailChannel, **options(mail, security="starttls"))
    with pytest.raises(TransientError, match="STARTTLS"):
        secure.send(RAISED)


def test_an_address_can_not_smuggle_a_header(mail: Mail) -> None:
    with pytest.raises(ValidationError, match="e-mail address"):
        channel(EmailChannel, **options(mail, to=["a@example.org\nBcc: all@example.org"]))


def test_the_log_warns_when_it_begins_and_says_when_it_has_ended() -> None:
    log, lines = channel(LogChannel)
    log.send(RAISED)
    log.send(CLEARED)
    assert [(event, values["level"], values["state"]) for event, values in lines] == [
        ("alert", "warning", "raised"),
        ("alert", "info", "cleared"),
    ]
