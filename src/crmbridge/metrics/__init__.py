"""Metrics: what is computed from an organisation's records. The names here are public."""

from crmbridge.metrics.base import Frame, Horizons, Metric, MetricSettings

__all__ = ["Frame", "Horizons", "Metric", "MetricSettings"]
