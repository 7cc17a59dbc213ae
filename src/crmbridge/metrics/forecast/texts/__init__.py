"""What the forecast's card says in words, one file per language."""

from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Final

from crmbridge.metrics.forecast.texts import en, zh

LANGUAGES: Final[Mapping[str, ModuleType]] = MappingProxyType({"en": en, "zh": zh})
