"""The process map: stages as nodes, moves as arrows as wide as they are frequent, coloured by time.

Stages have an order, so their place is given and no graph layout has to be searched for: the way forward is a
straight line, what skips a stage runs on one side of it, what goes back on the other, the lost leave to a
lane of their own. The drawing lies on a wide page and stands on a phone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from markupsafe import Markup

from crmbridge.report.figures import Cell, Figure, joined, sentence
from crmbridge.report.svg import NARROW, Chart, spoken
from crmbridge.report.words import Words, number, percent, significant

PAGE: Final = 1040
FLAT: Final = 8
"""The most stages that lie side by side."""
THINNEST, THICKEST = 1.5, 16.0
LEAST: Final = 0.005
"""Moves that fewer than this share of all make are in the table only."""
_TIMES: Final = 4
_LETTER: Final = 7.0

Row = Mapping[str, Any]


@dataclass(frozen=True)
class _Node:
    name: str
    lines: tuple[str, ...]
    along: float
    kind: str
    is_bottleneck: bool = False


@dataclass(frozen=True)
class _Plane:
    """Where things are drawn: `along` the way, `across` it; lying or standing."""

    standing: bool
    width: float
    height: float
    middle: float
    half_along: float
    half_across: float
    lost: float
    """Where, across, the lane of the lost begins."""

    def at(self, along: float, across: float) -> tuple[float, float]:
        return (across, along) if self.standing else (along, across)

    def box(self, along: float) -> tuple[float, float, float, float]:
        """Left, top, width, height of a node."""
        x, y = self.at(along - self.half_along, self.middle - self.half_across)
        wide, high = self.at(2 * self.half_along, 2 * self.half_across)
        return x, y, wide, high


def process_map(words: Words, nodes: pa.Table, edges: pa.Table, bottlenecks: pa.Table) -> Chart | None:
    """The process as it is walked; None where it has fewer than two stages or no move was seen."""
    stages = sorted(
        (row for row in nodes.to_pylist() if row["place"] is not None), key=lambda row: row["place"]
    )
    moves = edges.to_pylist()
    if len(stages) < 2 or not moves:
        return None
    ends = {row["stage"]: row["kind"] for row in nodes.to_pylist() if row["place"] is None}
    worst = next((row["stage"] for row in bottlenecks.to_pylist() if row["is_bottleneck"]), None)
    bounds = _bounds(moves)
    said = _in_words(words, stages, moves, ends)
    title = words.text("The process as it is walked")
    drawings = Markup("").join(
        Markup('<div class="{}">{}</div>').format(
            name, _draw(words, width, stages, moves, ends, worst, bounds, spoken(title, said))
        )
        for name, width in (("wide", PAGE), ("narrow", NARROW))
    )
    heads = ("From", "To", "Kind", "Moves", "Deals", "Of the moves from there", "Median days before")
    return Chart(
        title,
        said,
        drawings,
        [words.text(head) for head in heads],
        [
            (
                row["from_stage"],
                row["to_stage"],
                words.name(row["kind"]),
                _figure(row, "moves", number(row["moves"])),
                _figure(row, "deals", number(row["deals"])),
                _figure(row, "share", percent(row["share"])),
                _days(row),
            )
            for row in moves
        ],
    )


def _figure(row: Row, column: str, text: str) -> Figure:
    place = (("from_stage", row["from_stage"]), ("to_stage", row["to_stage"]))
    return Figure(text, row[column], "pipeline_deal_process_edges", column, place)


def _days(row: Row) -> Cell:
    return "" if row["median_days"] is None else _figure(row, "median_days", number(row["median_days"], 1))


def _in_words(words: Words, stages: Sequence[Row], moves: Sequence[Row], ends: Mapping[str, str]) -> Markup:
    said = []
    first = stages[0]
    entered = Figure(
        number(first["deals"]),
        first["deals"],
        "pipeline_deal_process_nodes",
        "deals",
        (("stage", first["stage"]),),
    )
    said.append(sentence(words, "{n} deals came to {stage}.", n=entered, stage=first["stage"]))
    won = [row for row in moves if ends.get(row["to_stage"]) == "won"]
    if won:
        most = max(won, key=lambda row: row["moves"])
        said.append(
            sentence(
                words,
                "Most are won from {stage} ({n}).",
                stage=most["from_stage"],
                n=_figure(most, "moves", number(most["moves"])),
            )
        )
    back = max((row for row in moves if row["kind"] == "back"), key=lambda row: row["moves"], default=None)
    if back is None:
        said.append(sentence(words, "No deal went back."))
    else:
        said.append(
            sentence(
                words,
                "Rework: most go back from {start} to {end}, {n} times.",
                start=back["from_stage"],
                end=back["to_stage"],
                n=_figure(back, "moves", number(back["moves"])),
            )
        )
    return joined(said)


def _bounds(moves: Sequence[Row]) -> list[float]:
    """The days at which the colours of the arrows change: quarters of the moves' median times."""
    days = [row["median_days"] for row in moves if row["median_days"] is not None]
    if not days:
        return []
    inner = np.quantile(days, [0.25, 0.5, 0.75])
    return sorted({float(f"{bound:.2g}") for bound in inner})


def _colour(row: Row, bounds: Sequence[float]) -> str:
    days = row["median_days"]
    if days is None or not bounds:
        return "var(--quiet)"
    step = sum(days > bound for bound in bounds)
    return f"var(--time-{1 + step + _TIMES - 1 - len(bounds)})"


def _draw(
    words: Words,
    width: float,
    stages: Sequence[Row],
    moves: Sequence[Row],
    ends: Mapping[str, str],
    worst: str | None,
    bounds: Sequence[float],
    label: str,
) -> Markup:
    steps = len(stages) + 1
    plane = _plane(width, steps)
    gap = (plane.height - 70 if plane.standing else plane.width) / steps
    start = 40 if plane.standing else 0
    along = {row["stage"]: start + gap * (place + 0.5) for place, row in enumerate(stages)}
    won_at = start + gap * (steps - 0.5)
    names = {kind: [name for name, each in ends.items() if each == kind] for kind in ("won", "lost")}
    nodes = [
        _Node(row["stage"], _lines(words, row), along[row["stage"]], "stage", row["stage"] == worst)
        for row in stages
    ]
    won = sum(row["moves"] for row in moves if ends.get(row["to_stage"]) == "won")
    title = names["won"][0] if len(names["won"]) == 1 else words.text("Won")
    nodes.append(_Node(title, (words.many(won, "deal"),), won_at, "won"))
    most = max(row["moves"] for row in moves)
    total = sum(row["moves"] for row in moves)

    def thickness(row: Row) -> float:
        return float(THINNEST + (THICKEST - THINNEST) * row["moves"] / most)

    arrows: list[Markup] = []
    labels: list[Markup] = []
    seen = [row for row in moves if row["moves"] >= LEAST * total and row["from_stage"] in along]
    for row in sorted(seen, key=lambda row: -row["moves"]):
        begin = along[row["from_stage"]]
        end_kind = ends.get(row["to_stage"])
        finish = won_at if end_kind == "won" else along.get(row["to_stage"])
        wide, colour = thickness(row), _colour(row, bounds)
        if end_kind == "lost":
            at = begin - plane.half_along * 0.45
            arrows.append(
                _straight(plane, at, plane.middle + plane.half_across, at, plane.lost, wide, colour)
            )
            before_head = 34 if plane.standing else 18
            labels.append(_label(plane, at, plane.lost - before_head, number(row["moves"]), wide))
        elif finish is None or finish == begin:
            continue
        elif 0 < finish - begin < gap * 1.5:
            first, last = begin + plane.half_along, finish - plane.half_along
            arrows.append(_straight(plane, first, plane.middle, last, plane.middle, wide, colour))
            labels.append(
                _label(plane, (first + last) / 2 - 3, plane.middle, number(row["moves"]), wide, True)
            )
        else:
            forth = finish > begin
            arrows.append(_arc(plane, begin, finish, gap, wide, colour, forth))
            labels.append(_arc_label(plane, begin, finish, gap, number(row["moves"]), forth))
    lost = sum(row["moves"] for row in moves if ends.get(row["to_stage"]) == "lost")
    lane = (
        _lane(plane, start, won_at - gap * 0.5, words.text("lost: {n}", n=number(lost)))
        if lost
        else Markup("")
    )
    inside = Markup("").join(
        [
            *arrows,
            lane,
            *(_node(words, plane, node) for node in nodes),
            *labels,
            _legend(words, plane, bounds),
        ]
    )
    return Markup('<svg role="img" aria-label="{}" viewBox="0 0 {} {}" width="{}">{}</svg>').format(
        label, _n(plane.width), _n(plane.height), _n(plane.width), inside
    )


def _plane(width: float, steps: int) -> _Plane:
    if width == NARROW or steps > FLAT + 1:
        height = 40 + 118 * steps + 30
        half = 68 if width == NARROW else 130
        middle = 132.0 if width == NARROW else width / 2
        lost = 284.0 if width == NARROW else width / 2 + 300
        return _Plane(True, width, height, middle, 36, half, lost)
    return _Plane(False, width, 330, 150, min(66.0, width / steps * 0.32), 38, 272)


def _lines(words: Words, row: Row) -> tuple[str, ...]:
    lines = [words.many(row["deals"], "deal")]
    if row["median_days"] is not None:
        lines.append(words.text("{n} days", n=significant(row["median_days"], 2)))
    if row["returned"]:
        lines.append(words.text("{n} came back", n=number(row["returned"])))
    return tuple(lines)


def _node(words: Words, plane: _Plane, node: _Node) -> Markup:
    x, y, wide, high = plane.box(node.along)
    stroke, size = ("var(--amber)", 3) if node.is_bottleneck else ("var(--quiet)", 1)
    fill = "var(--open)" if node.kind == "won" else "var(--card)"
    drawn = [
        Markup(
            '<rect x="{}" y="{}" width="{}" height="{}" rx="8" fill="{}" stroke="{}" stroke-width="{}"/>'
        ).format(_n(x), _n(y), _n(wide), _n(high), fill, stroke, size)
    ]
    lines = [
        (_fitting(node.name, wide - 8), True),
        *((_fitting(line, wide - 4), False) for line in node.lines),
    ]
    step = 16
    top = y + high / 2 - step * (len(lines) - 1) / 2 + 4
    drawn += [
        _text(x + wide / 2, top + step * place, line, "middle", bold=bold, quiet=not bold)
        for place, (line, bold) in enumerate(lines)
    ]
    if node.is_bottleneck:
        tag = words.text("bottleneck")
        across = _width(tag) + 14
        drawn += [
            Markup('<rect x="{}" y="{}" width="{}" height="18" rx="9" fill="var(--amber)"/>').format(
                _n(x + wide / 2 - across / 2), _n(y - 16), _n(across)
            ),
            _text(x + wide / 2, y - 3, tag, "middle", bold=True, colour="var(--card)"),
        ]
    return Markup("").join(drawn)


def _straight(
    plane: _Plane, along: float, across: float, to_along: float, to_across: float, wide: float, colour: str
) -> Markup:
    """An arrow from one point to another, its head drawn within."""
    x, y = plane.at(along, across)
    to_x, to_y = plane.at(to_along, to_across)
    length = max(((to_x - x) ** 2 + (to_y - y) ** 2) ** 0.5, 1e-6)
    u, v = (to_x - x) / length, (to_y - y) / length
    head = min(_head(wide), length * 0.8)
    body = Markup('<path d="M{} {}L{} {}" fill="none" stroke="{}" stroke-width="{}"/>').format(
        _n(x), _n(y), _n(to_x - u * (head - 1)), _n(to_y - v * (head - 1)), colour, _n(wide)
    )
    return body + _point(to_x, to_y, u, v, head, _head(wide) * 0.62, colour)


def _arc(
    plane: _Plane, begin: float, finish: float, gap: float, wide: float, colour: str, forth: bool
) -> Markup:
    """A bow from one node to another: before the way where it leads on, behind it where it leads back."""
    side = -1 if forth else 1
    edge = plane.middle + side * plane.half_across
    out = edge + side * _height(plane, begin, finish, gap)
    shift = plane.half_along * 0.5 if forth else -plane.half_along * 0.3
    start, end = begin + shift, finish - shift
    head = _head(wide)
    near = edge + side * (head - 1)
    points = [plane.at(start, edge), plane.at(start, out), plane.at(end, out), plane.at(end, near)]
    numbers = [_n(value) for point in points for value in point]
    body = Markup('<path d="M{} {}C{} {} {} {} {} {}" fill="none" stroke="{}" stroke-width="{}"/>').format(
        *numbers, colour, _n(wide)
    )
    tip = plane.at(end, edge)
    u, v = plane.at(0, -side)
    return body + _point(*tip, u, v, head, head * 0.62, colour)


def _height(plane: _Plane, begin: float, finish: float, gap: float) -> float:
    room = 62.0 if plane.standing else 110.0
    return min(room, 34.0 + 26.0 * abs(finish - begin) / gap)


def _arc_label(plane: _Plane, begin: float, finish: float, gap: float, text: str, forth: bool) -> Markup:
    side = -1 if forth else 1
    bow = 0.75 * _height(plane, begin, finish, gap)
    across = plane.middle + side * (plane.half_across + bow)
    return _tag(*plane.at((begin + finish) / 2, across), text)


def _label(
    plane: _Plane, along: float, across: float, text: str, wide: float, on_way: bool = False
) -> Markup:
    if on_way and not plane.standing:
        across -= wide / 2 + 10
    x, y = plane.at(along, across)
    if on_way and plane.standing:
        x += wide / 2 + 18
    return _tag(x, y, text)


def _tag(x: float, y: float, text: str) -> Markup:
    """A number on a ground of its own, so that lines below it don't cross it."""
    wide = _width(text) + 4
    ground = Markup('<rect x="{}" y="{}" width="{}" height="15" rx="3" fill="var(--card)"/>').format(
        _n(x - wide / 2), _n(y - 8), _n(wide)
    )
    return ground + _text(x, y + 4, text, "middle")


def _lane(plane: _Plane, start: float, end: float, text: str) -> Markup:
    """The lane in which the lost end."""
    x, y = plane.at(start + 8, plane.lost)
    deep = 24
    wide, high = plane.at(end - start - 16, deep)
    drawn = Markup('<rect x="{}" y="{}" width="{}" height="{}" rx="8" fill="var(--line)"/>').format(
        _n(x), _n(y), _n(wide), _n(high)
    )
    centre_x, centre_y = x + wide / 2, y + high / 2 + 4
    if plane.standing:
        turned = Markup(
            '<text x="{}" y="{}" text-anchor="middle" font-size="12" '
            'fill="var(--ink)" transform="rotate(90 {} {})">{}</text>'
        )
        return drawn + turned.format(_n(centre_x), _n(centre_y), _n(centre_x), _n(centre_y - 4), text)
    return drawn + _text(centre_x, centre_y, text, "middle")


def _legend(words: Words, plane: _Plane, bounds: Sequence[float]) -> Markup:
    """What the colours mean."""
    if not bounds:
        return Markup("")
    days = [f"{bound:g}" for bound in bounds]
    texts = [words.text("up to {n} days", n=days[0])]
    texts += [words.text("to {n}", n=day) for day in days[1:]] + [words.text("more")]
    x, y = 4.0, plane.height - 10
    drawn = []
    for step, text in enumerate(texts):
        colour = f"var(--time-{1 + step + _TIMES - len(texts)})"
        drawn.append(
            Markup('<rect x="{}" y="{}" width="18" height="8" rx="2" fill="{}"/>').format(
                _n(x), _n(y - 8), colour
            )
        )
        drawn.append(_text(x + 23, y, text, "start", quiet=True))
        x += 34 + _width(text)
    return Markup("").join(drawn)


def _head(wide: float) -> float:
    return 7 + 0.7 * wide


def _point(x: float, y: float, u: float, v: float, long: float, half: float, colour: str) -> Markup:
    """An arrow's head that ends at (x, y) in the direction (u, v)."""
    back_x, back_y = x - u * long, y - v * long
    corners = (x, y, back_x - v * half, back_y + u * half, back_x + v * half, back_y - u * half)
    return Markup('<path d="M{} {}L{} {}L{} {}Z" fill="{}"/>').format(*map(_n, corners), colour)


def _text(
    x: float,
    y: float,
    text: str,
    anchor: str,
    *,
    bold: bool = False,
    quiet: bool = False,
    colour: str | None = None,
) -> Markup:
    fill = colour or ("var(--muted)" if quiet else "var(--ink)")
    weight = Markup(' font-weight="bold"') if bold else ""
    return Markup('<text x="{}" y="{}" text-anchor="{}" font-size="12" fill="{}"{}>{}</text>').format(
        _n(x), _n(y), anchor, fill, weight, text
    )


def _fitting(text: str, width: float) -> str:
    """The text, cut where it would not fit."""
    for place in range(1, len(text) + 1):
        if _width(text[:place]) > width:
            return f"{text[: max(1, place - 2)]}…"
    return text


def _width(text: str) -> float:
    """The width of a text, a little more than it is; Chinese and Japanese signs are square."""
    return sum(12.5 if ord(sign) > 0x2E80 else _LETTER for sign in text)


def _n(value: float) -> str:
    """A coordinate, short."""
    return f"{value:.1f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"
