"""Honest, explainable scores and sales efficiencies inside the CRM a team already uses.

`from crmbridge import Bridge` is where a notebook starts.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crmbridge.bridge import Bridge

__all__ = ["Bridge", "__version__"]

__version__ = version("crmbridge")


def __getattr__(name: str) -> Any:
    # Bridge pulls in everything; a plugin that only needs the model should not wait for that.
    if name == "Bridge":
        from crmbridge.bridge import Bridge

        return Bridge
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
