"""What the report says, one file per language; every file has the same names as `en`.

Sentences are kept by their English, so that the code can be read; `en` needs no list of them.
"""

from __future__ import annotations

from types import ModuleType
from typing import Final

from crmbridge.report.texts import en, zh

LANGUAGES: Final[dict[str, ModuleType]] = {"en": en, "zh": zh}
