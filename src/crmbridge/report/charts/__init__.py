"""The charts of the report. Each says in a sentence, made from its numbers, what it shows."""

from crmbridge.report.charts.efficiency import by_month, efficiency
from crmbridge.report.charts.process import funnel, money_in_stages, narrowest, went_on
from crmbridge.report.charts.scores import calibration, distribution

__all__ = [
    "by_month",
    "calibration",
    "distribution",
    "efficiency",
    "funnel",
    "money_in_stages",
    "narrowest",
    "went_on",
]
