"""How good the records are: complete, valid, alive, once; and what repairing them would be worth."""

from crmbridge.metrics.quality.metric import QualityMetric

__all__ = ["QualityMetric"]
