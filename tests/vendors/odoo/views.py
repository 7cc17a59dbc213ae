"""What Odoo checks when a view inherits another: places, fields, and what each version knows."""

from __future__ import annotations

import re
from collections.abc import Container
from xml.etree import ElementTree as Xml

_HASCLASS = re.compile(r"\[hasclass\('([^']+)'\)\]")
_POSITIONS = {"before", "after", "inside", "replace", "attributes"}


def checked(base: str, arch: str, fields: Container[str], version: int) -> str | None:
    """Why a view can't inherit the base as it says, None where it can."""
    root, ours = Xml.fromstring(base), Xml.fromstring(arch)
    if ours.tag != "data" or any(each.tag != "xpath" for each in ours):
        return "an inheriting view is made of xpath"
    for each in ours:
        if each.get("position") not in _POSITIONS:
            return f"there is no position {each.get('position')}"
        if not _found(root, each.get("expr", "")):
            return f"Element '{each.get('expr')}' cannot be located in parent view"
    for each in ours.iter("field"):
        if each.get("name") not in fields:
            return f'Field "{each.get("name")}" does not exist in model'
        if each.get("attrs") and version >= 17:
            return 'Since 17.0, the "attrs" and "states" attributes are no longer used.'
        if each.get("invisible", "1") not in ("0", "1") and version < 17:
            return "invisible is 0 or 1"
        if each.get("optional") and version < 13:
            return "Invalid attribute optional for element field"
    return None


def _found(root: Xml.Element, expression: str) -> bool:
    classes = _HASCLASS.findall(expression)
    plain = _HASCLASS.sub("", expression)
    if plain.startswith("/") and not plain.startswith("//"):
        return root.tag == plain[1:]
    matched = root.findall("." + (plain.removesuffix("[1]") if classes else plain))
    return any(all(name in each.get("class", "").split() for name in classes) for each in matched)
