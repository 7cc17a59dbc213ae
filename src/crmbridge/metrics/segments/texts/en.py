"""English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SLIPPING: Final = "Slipping away"
LOST: Final = "Lost"
NEW: Final = "No order yet"
NAMES: Final[Mapping[str, str]] = {
    "+++": "Best customers",
    "++-": "Regulars with small orders",
    "+-+": "Recent, few but big orders",
    "+--": "Recent, few small orders",
    "-++": "Good customers gone quiet",
    "-+-": "Small regulars gone quiet",
    "--+": "Few big orders, long ago",
    "---": "Few small orders, long ago",
    "++": "Recent and regular",
    "+-": "Recent, few orders",
    "-+": "Regulars gone quiet",
    "--": "Few orders, long ago",
}
"""By recency, frequency and money (where known): above (+) or below (-) the mean of all."""


def too_few(customers: int, needed: int) -> str:
    return f"No groups: {customers} customers have ordered, and {needed} are needed."


def groups(number: int, other_seed: float, other_half: float) -> str:
    return (
        f"{number} groups come back from another seed (agreement {other_seed:.2f} of 1) and from the other "
        f"half of the customers ({other_half:.2f})."
    )


def fewer(tried: int) -> str:
    return f"More groups, up to {tried}, do not come back, so they are not used."


def none_stable() -> str:
    return (
        "No division into groups comes back, not even into two: customers differ by degree, not by kind. "
        "They are named by where they stand, above or below the mean."
    )
