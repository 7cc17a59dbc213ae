"""Need, P(x) = 1 / (1 + e^-(a + b.x)): the chance that a lead converts, a deal is won, an account orders
again.

`NeedMetric` is the metric. Its parts can be used alone: `outcomes` (what became of each record), `snapshots`
(the moments it is learned from), `inputs` (what was known then), `choose` and `leaks` (what may be used),
`design` (the matrix), `logistic` (the fit), `train` (test and publication), `explain` (reasons), `card`,
`actions`."""

from crmbridge.metrics.need.metric import NeedMetric

__all__ = ["NeedMetric"]
