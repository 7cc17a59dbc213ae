"""`crmbridge plugin new NAME`: a distribution of its own, with a connector that works, to be made another's.

The template is the worked connector of docs/plugins.md: what the guide shows is what comes out.
"""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from crmbridge.errors import SettingsError
from crmbridge.plugins import Plugins

TEMPLATE: Final = "acme"
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def new_plugin(name: str, folder: Path, *, plugins: Plugins) -> Path:
    """Write the distribution `crmbridge-NAME` into a folder; returns where it is.

    An existing folder is never written into. Raises SettingsError.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise SettingsError(
            f"{name!r} can't be the name of a connector.",
            remedy="Use small letters, digits and _, beginning with a letter, such as `my_crm`.",
        )
    if name in plugins.connectors:
        raise SettingsError(f"there is a connector {name!r} already.", remedy="Choose another name.")
    made = folder / f"crmbridge-{name.replace('_', '-')}"
    if made.exists():
        raise SettingsError(f"{made} is already there.", remedy="Choose another name or another --dir.")
    _copy(files("crmbridge.init") / f"crmbridge-{TEMPLATE}", made, name)
    return made


def _copy(source: Traversable, target: Path, name: str) -> None:
    if source.is_dir():
        target.mkdir(parents=True)
        for each in source.iterdir():
            if each.name != "__pycache__" and not each.name.startswith("."):
                _copy(each, target / _renamed(each.name, name), name)
    else:
        target.write_text(_renamed(source.read_text(encoding="utf-8"), name), encoding="utf-8")


def _renamed(text: str, name: str) -> str:
    """The template's words with the new name in them."""
    words = name.split("_")
    text = text.replace("crmbridge-" + TEMPLATE, "crmbridge-" + "-".join(words))
    text = text.replace(TEMPLATE.capitalize(), "".join(word.capitalize() for word in words))
    text = text.replace(f"https://{TEMPLATE}.", f"https://{'-'.join(words)}.")
    return text.replace(TEMPLATE, name)
