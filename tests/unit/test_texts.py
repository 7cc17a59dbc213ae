"""Every metric that speaks to people speaks every language of the settings, and says everything in each."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, get_args

import pytest

from crmbridge import metrics
from crmbridge.metrics.base import MetricSettings

LANGUAGES = set(get_args(MetricSettings.model_fields["language"].annotation))
TEXTS = [
    f"{found.name}.texts"
    for found in pkgutil.iter_modules(metrics.__path__, "crmbridge.metrics.")
    if found.ispkg
    and any(each.name == "texts" for each in pkgutil.iter_modules(import_module(found.name).__path__))
]


def own(text: ModuleType) -> dict[str, Any]:
    """What the module itself says: its functions, tables and sentences."""
    return {
        name: value
        for name, value in vars(text).items()
        if not name.startswith("_")
        and (
            (inspect.isfunction(value) and value.__module__ == text.__name__)
            or isinstance(value, str | tuple | Mapping)
        )
    }


def test_need_is_among_them() -> None:
    assert "crmbridge.metrics.need.texts" in TEXTS
    assert len(LANGUAGES) >= 2


@pytest.mark.parametrize("package", TEXTS)
def test_every_language_says_everything(package: str) -> None:
    languages: Mapping[str, ModuleType] = import_module(package).LANGUAGES
    assert set(languages) == LANGUAGES
    english = own(languages["en"])
    assert english
    for name, text in languages.items():
        said = own(text)
        assert set(said) == set(english), name
        for key, value in english.items():
            if inspect.isfunction(value):
                assert list(inspect.signature(said[key]).parameters) == list(
                    inspect.signature(value).parameters
                )
            elif isinstance(value, Mapping):
                assert set(said[key]) == set(value), f"{name}: {key}"
            elif isinstance(value, tuple):
                assert len(said[key]) == len(value), f"{name}: {key}"
            else:
                assert isinstance(said[key], str), f"{name}: {key}"
                assert said[key], f"{name}: {key}"
