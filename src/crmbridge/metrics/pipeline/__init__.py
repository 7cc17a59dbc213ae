"""The way of the deals: stages, the time in them, what moves on and what gets stuck."""

from crmbridge.metrics.pipeline.metric import PipelineMetric

__all__ = ["PipelineMetric"]
