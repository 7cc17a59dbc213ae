"""A throw-away PostgreSQL server from Debian's package, and ledgers on it and on SQLite."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import count
from pathlib import Path

import psycopg
import pytest

from crmbridge.store.ledger import Ledger

SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "32MB",
    "max_connections": "40",
    "listen_addresses": "127.0.0.1",
}


def binaries() -> Path | None:
    """The folder of the newest server installed, if there is one."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class Server:
    """A running server; `database()` makes an empty database, `new_ledger()` a ledger; both give a URL."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._numbers = count(1)
        self._template: str | None = None

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://crmbridge@127.0.0.1:{self.port}/{database}"

    def database(self, template: str = "template0") -> str:
        name = f"test_{next(self._numbers)}"
        self._do(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def new_ledger(self, clock: Callable[[], datetime]) -> str:
        if self._template is None:
            url = self.database()
            Ledger.open(url, clock=clock).close()
            self._template = url.rpartition("/")[2]
        return self.database(self._template)

    def drop(self, url: str) -> None:
        self._do(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def _do(self, statement: str) -> None:
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="crmbridge", dbname="postgres", autocommit=True
        ) as db:
            db.execute(statement)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A server of our own on a free port; skips where PostgreSQL is not installed, fails where CI is set."""
    folder = binaries()
    if folder is None:
        message = "PostgreSQL is not installed under /usr/lib/postgresql (Debian: apt-get install postgresql)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    home = Path(tempfile.mkdtemp(prefix="crmbridge-postgresql-"))
    user = _unprivileged(home)

    def run(*command: str) -> None:
        with open(home / "output", "a+") as output:
            done = subprocess.run(
                [str(folder / command[0]), *command[1:]],
                cwd=home,
                env={"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=user,
                extra_groups=None if user is None else [],
                check=False,
            )
            output.seek(0)
            assert done.returncode == 0, f"{command[0]} failed:\n{output.read()}"

    data = str(home / "data")
    try:
        run("initdb", "-D", data, "-U", "crmbridge", "-A", "trust", "-E", "UTF8", "--no-sync")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = {**SETTINGS, "port": str(port), "unix_socket_directories": str(home)}
        words = " ".join(f"-c {name}={value}" for name, value in options.items())
        run("pg_ctl", "start", "-w", "-D", data, "-l", str(home / "log"), "-o", words)
        try:
            yield Server(port)
        finally:
            run("pg_ctl", "stop", "-w", "-D", data, "-m", "immediate")
    finally:
        shutil.rmtree(home)


def _unprivileged(home: Path) -> int | None:
    """Whom the server runs as: it refuses root. None means as ourselves."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    user = names.get("postgres", names["nobody"])
    os.chown(home, user, -1)
    return user


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Callable[[], datetime]
) -> Iterator[str]:
    """The URL of a ledger on each database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/crmbridge.db"
        return
    server: Server = request.getfixturevalue("postgresql")
    url = server.new_ledger(clock)
    yield url
    server.drop(url)


@pytest.fixture
def ledger(ledger_url: str, clock: Callable[[], datetime]) -> Iterator[Ledger]:
    """A ledger on each database."""
    with Ledger.open(ledger_url, clock=clock) as opened:
        yield opened
