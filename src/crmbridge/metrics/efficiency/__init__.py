"""How much comes out of the time that goes in: communication (E), follow-up (R) and order management (O)."""

from crmbridge.metrics.efficiency.metric import EfficiencyMetric

__all__ = ["EfficiencyMetric"]
