"""Need, P(x) = 1 / (1 + e^-(a + b.x)): that a lead converts, a deal is won, an account orders again.

`NeedMetric` is the metric. Its rooms, from the data to the score:

- `outcomes` (what became of each record), `snapshots` (the moments it is learned from), `state` and
`windows` (what
  was known then), `inputs` (both together, as `columns`), `choose` and `leaks` (what may be used);
- `design` (fields to matrix, as `rows`), `logistic` (the fit), `scales` (each field's prior), `train` and
`tested`
  (test and publication), `evaluate` (figures), `card` (what a person reads);
- `explain` (reasons), `whatif` (what would raise the score most), `texts` (one file per language).
"""

from crmbridge.metrics.need.metric import NeedMetric

__all__ = ["NeedMetric"]
