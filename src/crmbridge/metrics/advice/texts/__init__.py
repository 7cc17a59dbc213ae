"""Sentences people read, one module per language; every module has the same names as `en`."""

from __future__ import annotations

from types import ModuleType
from typing import Final

from crmbridge.metrics.advice.texts import en, zh

LANGUAGES: Final[dict[str, ModuleType]] = {"en": en, "zh": zh}
