"""What customers are worth: the chance that they order again, and what the next 12 months bring."""

from crmbridge.metrics.value.metric import ValueMetric

__all__ = ["ValueMetric"]
