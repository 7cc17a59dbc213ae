"""The charts of the report. Each says in a sentence, made from its numbers, what it shows."""

from crmbridge.report.charts.customers import segments
from crmbridge.report.charts.efficiency import by_month, efficiency
from crmbridge.report.charts.forecast import accuracy, forecast, velocity
from crmbridge.report.charts.market import quarters, standing_out
from crmbridge.report.charts.process import funnel, money_in_stages, narrowest, waiting, went_on
from crmbridge.report.charts.process_map import process_map
from crmbridge.report.charts.quality import completeness
from crmbridge.report.charts.scores import calibration, distribution

__all__ = [
    "accuracy",
    "by_month",
    "calibration",
    "completeness",
    "distribution",
    "efficiency",
    "forecast",
    "funnel",
    "money_in_stages",
    "narrowest",
    "process_map",
    "quarters",
    "segments",
    "standing_out",
    "velocity",
    "waiting",
    "went_on",
]
