"""Groups of customers by when they last ordered, how often and how much; and who moves between them."""

from crmbridge.metrics.segments.metric import SegmentsMetric

__all__ = ["SegmentsMetric"]
