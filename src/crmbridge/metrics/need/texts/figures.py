"""Figures that are written alike in every language."""

from __future__ import annotations


def number(value: float) -> str:
    """A number in few characters: `12`, `0.5`, `1,200,000`, `3.1e+12`."""
    if value == 0 or 1e-3 <= abs(value) < 1e9:
        return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:.2g}"


def short(value: float) -> str:
    """A share in two decimals without its zero: `.49`."""
    text = f"{value:.2f}"
    return text.removeprefix("0") if value < 1 else text
