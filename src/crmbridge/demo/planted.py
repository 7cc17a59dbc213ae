"""What is planted in the sample organisation, so that anybody can see whether crmbridge finds it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from crmbridge.model.records import ObjectName

DAY: Final = 86_400
FIRST_DAYS: Final = 7
"""Activities and the first response count for the chances within so many days of creation; nothing is decided
before."""

SOURCES: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {  # share of the leads, log-odds
        "Web": (0.30, 0.0),
        "Cold Call": (0.22, -1.2),
        "Referral": (0.14, 1.5),
        "Trade Show": (0.14, -0.1),
        "Partner": (0.10, 0.9),
        "Newsletter": (0.10, -0.5),
    }
)
INDUSTRIES: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        "Manufacturing": (0.24, 0.0),
        "Logistics": (0.14, -0.1),
        "Software": (0.14, 0.7),
        "Retail": (0.13, -0.5),
        "Healthcare": (0.11, 0.4),
        "Finance": (0.09, 0.2),
        "Energy": (0.08, 0.0),
        "Education": (0.07, -0.8),
    }
)
LEAD_INTERCEPT: Final = -2.3
BY_EMPLOYEES, IF_BUDGET, PER_EARLY_ACTIVITY, BY_WAIT = 0.45, 1.0, 0.35, -0.25
MOST_EARLY: Final = 5
LEAD_COEFFICIENTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        **{f"Lead Source = {name}": effect for name, (_, effect) in SOURCES.items()},
        **{f"Industry = {name}": effect for name, (_, effect) in INDUSTRIES.items()},
        "ln(Employees / 60), 0 where unknown": BY_EMPLOYEES,
        "Annual Budget Approved = true": IF_BUDGET,
        "activities in the first 7 days, at most 5": PER_EARLY_ACTIVITY,
        "ln(1 + hours to the first activity), of 168 where there is none": BY_WAIT,
    }
)

TYPES: Final[Mapping[str, float]] = MappingProxyType(
    {"New Business": 0.0, "Existing Business": 0.6, "Renewal": 2.0}
)
DEAL_INTERCEPT: Final = -2.3
IF_COMPETITOR, IF_REFERRED, BY_AMOUNT, PER_EARLY_DEAL_ACTIVITY = -1.4, 0.9, -0.5, 0.45
DEAL_COEFFICIENTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        **{f"Type = {name}": effect for name, effect in TYPES.items()},
        "Competitor is named": IF_COMPETITOR,
        "Lead Source = Referral": IF_REFERRED,
        "ln(Amount / 10000)": BY_AMOUNT,
        "activities in the first 7 days, at most 5": PER_EARLY_DEAL_ACTIVITY,
    }
)

STAGES: Final = ("Qualification", "Discovery", "Proposal", "Legal Review", "Negotiation")
WON, LOST = "Closed Won", "Closed Lost"
STAGE_DAYS: Final = (8.0, 12.0, 15.0, 42.0, 12.0)
"""Mean days of a stay in each stage."""
BOTTLENECK: Final = "Legal Review"

LEAKS: Final[Mapping[ObjectName, tuple[str, ...]]] = MappingProxyType(
    {"lead": ("Qualification Result",), "deal": ("Loss Reason",)}
)
"""Columns that are filled only when the outcome is known."""


Wrong = Literal["date", "missing id", "id twice", "kind", "number"]


@dataclass(frozen=True)
class BadRow:
    """A row that a run must set aside: where it stands and what is wrong with it."""

    object: ObjectName
    file: str
    line: int
    wrong: Wrong


@dataclass(frozen=True)
class Truth:
    """What is really so in a sample organisation.

    Chances: `1 / (1 + e^-(intercept + sum of coefficient x value))`, that a lead converts within 90 days
    and that a deal is won. `lead_auc` and `deal_auc` are what the true chances themselves reach: no honest
    model does better but by luck. `communication_efficiency` in positive outcomes per measured hour,
    `fulfilment_days` in mean days from order to fulfilment, both by rep. `stale_deals` are open and nobody
    will ever close them. `counts` has the good records of each object.
    """

    lead_intercept: float
    lead_coefficients: Mapping[str, float]
    lead_auc: float | None
    deal_intercept: float
    deal_coefficients: Mapping[str, float]
    deal_auc: float | None
    communication_efficiency: Mapping[str, float]
    fulfilment_days: Mapping[str, float]
    stage_days: Mapping[str, float]
    bottleneck: str
    leaks: Mapping[ObjectName, tuple[str, ...]]
    bad_rows: tuple[BadRow, ...]
    stale_deals: tuple[str, ...]
    counts: Mapping[ObjectName, int]
