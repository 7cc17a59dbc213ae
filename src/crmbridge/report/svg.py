"""Vega-Lite specifications become small static SVG drawings that follow the page's colours.

Rendering needs no browser, server or network. A drawing is made twice, wide and narrow, so that text keeps a
readable size on a phone; the page's style shows one of them. Colours are the page's variables
(`var(--ink)`), so that one drawing serves light, dark and print.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree

from markupsafe import Markup, escape

from crmbridge.report.figures import Cell

Spec = dict[str, Any]

WIDE: Final = 720
HALF: Final = 500
NARROW: Final = 330
ROW: Final = 26
"""Widths of drawings, and the height of a row of bars with the space around it, in pixels."""

_SVG: Final = "http://www.w3.org/2000/svg"
_KEPT: Final = {
    "g": ("transform", "fill"),
    "path": (
        "d",
        "transform",
        "fill",
        "stroke",
        "stroke-width",
        "stroke-dasharray",
        "opacity",
        "fill-opacity",
    ),
    "line": ("x1", "x2", "y1", "y2", "transform", "stroke", "stroke-width", "stroke-dasharray", "opacity"),
    "text": ("text-anchor", "transform", "font-size", "font-weight", "fill", "opacity"),
    "tspan": ("x", "y", "dy"),
}
"""What a drawing may hold: shapes and text. Anything else (links, images, scripts, styles) is left out."""

_CONFIG: Final[Spec] = {
    "background": None,
    # Arial and its metric twins: the widths measured here are the widths drawn in the reader's browser.
    "font": "Arial, 'Liberation Sans', Helvetica, sans-serif",
    "padding": {"left": 4, "right": 10, "top": 6, "bottom": 2},
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--muted)",
        "titleColor": "var(--muted)",
        "gridColor": "var(--line)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelLimit": 150,
        "labelPadding": 6,
        "titlePadding": 8,
    },
    "legend": {
        "orient": "top",
        "symbolType": "square",
        "symbolStrokeWidth": 0,
        "labelColor": "var(--muted)",
        "labelFontSize": 12,
        "titleColor": "var(--muted)",
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titleOrient": "left",
    },
    "text": {"color": "var(--ink)", "fontSize": 12},
    "bar": {"color": "var(--blue)"},
}


@dataclass(frozen=True)
class Chart:
    """A drawing with the words that go with it; the same numbers as a table for who can't see it."""

    title: str
    sentence: str | Markup
    drawing: Markup
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def chart(
    title: str,
    sentence: str | Markup,
    spec: Callable[[int], Spec],
    head: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    wide: int = 720,
) -> Chart:
    """A chart from its specification at a width; its title and sentence are what a screen reader says."""
    return Chart(title, sentence, draw(spec, spoken(title, sentence), wide=wide), head, rows)


def spoken(title: str, sentence: str | Markup) -> str:
    """The text alternative of a drawing."""
    plain = sentence.striptags() if isinstance(sentence, Markup) else sentence
    return f"{title}. {plain}"


def draw(spec: Callable[[int], Spec], label: str, *, wide: int = WIDE) -> Markup:
    """Render `spec(width)` at the wide and the narrow width. `label` is what a screen reader says."""
    return Markup("").join(
        Markup('<div class="{}">{}</div>').format(name, _render(spec(width), width, label))
        for name, width in (("wide", wide), ("narrow", NARROW))
    )


def _render(spec: Spec, width: int, label: str) -> Markup:
    full = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": width,
        "autosize": {"type": "fit", "contains": "padding"},
        **spec,
    }
    import vl_convert  # a renderer of its own, which only who draws should wait for

    drawn = ElementTree.fromstring(vl_convert.vegalite_to_svg(full, config=_CONFIG, allowed_base_urls=[]))  # noqa: S314 - our own renderer's output
    inside = Markup("").join(_slim(child) for child in drawn)
    return Markup('<svg role="img" aria-label="{}" viewBox="{}" width="{}">{}</svg>').format(
        label, drawn.attrib["viewBox"], width, inside
    )


def _slim(element: ElementTree.Element) -> Markup:
    """The element with what it shows, as SVG text; groups and paths that show nothing are left out."""
    tag = element.tag.removeprefix(f"{{{_SVG}}}")
    if tag not in _KEPT or element.attrib.get("display") == "none":
        return Markup("")
    if tag == "path" and not (element.attrib.get("fill") or element.attrib.get("stroke")):
        return Markup("")
    inside = escape(element.text or "") + Markup("").join(_slim(child) for child in element)
    if tag == "g" and not inside:
        return Markup("")
    kept = {name: element.attrib[name] for name in _KEPT[tag] if name in element.attrib}
    if kept.get("opacity") == "1":
        del kept["opacity"]
    attributes = Markup("").join(Markup(' {}="{}"').format(name, value) for name, value in kept.items())
    return Markup("<{}{}>{}</{}>").format(tag, attributes, inside, tag)


def values(rows: Sequence[Mapping[str, Any]]) -> Spec:
    """The data of a specification."""
    return {"values": [dict(row) for row in rows]}
