"""Where deals are won: by industry, country, source, product, size and team, and what moved."""

from crmbridge.metrics.market.metric import MarketMetric

__all__ = ["MarketMetric"]
