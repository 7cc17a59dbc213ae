"""Revenue to come, month by month, with how well such forecasts did so far."""

from crmbridge.metrics.forecast.metric import ForecastMetric

__all__ = ["ForecastMetric"]
