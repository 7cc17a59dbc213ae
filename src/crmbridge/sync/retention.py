"""How long what the store holds stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from crmbridge.model.records import RECORDS
from crmbridge.store.lake import Rule


@dataclass(frozen=True)
class Retention:
    """How long things stay, in days. `keep_versions` is None where every version of a record stays.

    Versions of results and of held values stay one by one for `daily_after` days, then the last of each day,
    and after `monthly_after` days the last of each month.
    """

    keep_rows: int = 400
    daily_after: int = 7
    monthly_after: int = 100
    keep_versions: int | None = None

    def rules(self, object_name: str, moment: datetime) -> Sequence[Rule]:
        """What may go of an object of the lake."""
        if object_name not in RECORDS:
            return [
                Rule(moment - timedelta(days=self.daily_after), "day"),
                Rule(moment - timedelta(days=self.monthly_after), "month"),
            ]
        if self.keep_versions is None:
            return []
        return [Rule(moment - timedelta(days=self.keep_versions), "ever")]
