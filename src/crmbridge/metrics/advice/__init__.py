"""Advice: what to do next on each open lead and deal, and which changes are worth most to a manager."""

from crmbridge.metrics.advice.metric import AdviceMetric

__all__ = ["AdviceMetric"]
