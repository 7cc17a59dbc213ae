"""What is public of crmbridge, and what a plugin's files use beyond it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

PUBLIC: Final = (
    "crmbridge",
    "crmbridge.connectors",
    "crmbridge.errors",
    "crmbridge.hookspecs",
    "crmbridge.metrics",
    "crmbridge.model",
    "crmbridge.testing",
    "crmbridge.writeback",
)
"""The public modules; of each, the names in its `__all__`. They keep their meaning within a major version."""

_ROOT: Final = "crmbridge"


def beyond_public(folder: Path) -> list[str]:
    """What the Python files under a folder use of crmbridge beyond its public names: `file:line: name`."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        found += [f"{path.relative_to(folder)}:{line}: {name}" for line, name in _uses(tree)]
    return found


def _uses(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        for name in _named(node):
            if name.split(".")[0] == _ROOT and not _is_public(name):
                yield getattr(node, "lineno", 0), name


def _named(node: ast.AST) -> Iterator[str]:
    """The dotted names a node takes from elsewhere: imports, attributes of crmbridge, imports by text."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Attribute):
        yield ast.unparse(node)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
        yield from (
            each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)
        )


def _is_public(name: str) -> bool:
    """Whether a module is public, or a name one that a public module lists (or an attribute of such)."""
    if name in PUBLIC:
        return True
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:length])
        if module in PUBLIC:
            return parts[length] in import_module(module).__all__
    return False
