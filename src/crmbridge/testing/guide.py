"""What a failed test of the suite tells a connector's author: the rule, and where the guide speaks of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

import pytest

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

GUIDE: Final = "docs/plugins.md"
_ATTRIBUTE: Final = "crmbridge_guide"


def guide(section: str) -> Callable[[Callable[Given, Answer]], Callable[Given, Answer]]:
    """Mark a test, whose docstring is the rule it holds, with its section of the guide."""

    def marked(test: Callable[Given, Answer]) -> Callable[Given, Answer]:
        rule = " ".join((test.__doc__ or "").split())

        @wraps(test)
        def told(*arguments: Given.args, **more: Given.kwargs) -> Answer:
            try:
                return test(*arguments, **more)
            except pytest.skip.Exception:
                raise
            except BaseException as error:
                error.add_note(f'What must hold: {rule}\nRead on in {GUIDE}, "{section}".')
                raise

        setattr(told, _ATTRIBUTE, section)
        return told

    return marked


def section_of(test: Callable[..., object]) -> str | None:
    """The guide's section of a test of the suite."""
    return getattr(test, _ATTRIBUTE, None)
