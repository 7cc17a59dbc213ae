"""What each exported column means, in which unit: the words of `schema.json`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from crmbridge.model.fields import CATALOGUE
from crmbridge.model.records import RECORDS


@dataclass(frozen=True)
class Meaning:
    """A column in words; `unit` is None where it has none."""

    meaning: str
    unit: str | None = None


_RECORD: Final = {
    "id": Meaning("The record's id in the CRM, always text"),
    "created_at": Meaning("When the record was made in the CRM", "UTC"),
    "modified_at": Meaning("When the CRM last changed the record", "UTC"),
    "owner_id": Meaning("The rep who owns the record"),
    "annual_revenue": Meaning("Revenue of a year", "the CRM's own currency"),
    "amount": Meaning("The amount", "the row's currency"),
    "employees": Meaning("Number of employees", "people"),
    "duration": Meaning("How long it took; empty where it was not measured", "seconds"),
}
_ENDS: Final = (("_at", "UTC"), ("_hours", "hours"), ("_days", "days"), ("_coverage", "share, 0 to 1"))
_UNITS: Final = {
    "score": "percent",
    "score_low": "percent",
    "score_high": "percent",
    "communication_efficiency": "outcomes per hour",
    "follow_up_efficiency": "deals won per hour",
    "order_efficiency": "orders per processing day",
    "time_coverage": "share, 0 to 1",
    "p_alive": "share, 0 to 1",
    "days_in_stage": "days",
    "typical_days": "days",
    "data_quality": "0 to 100",
    "expected_revenue": "the deal's currency",
    "value_12m": "the main currency",
    "clv_12m": "the main currency",
    "mean_order": "the main currency",
    "order_chance_12m": "share, 0 to 1",
    "complete": "share, 0 to 1",
    "valid": "share, 0 to 1",
    "gain": "nats a record",
    "days_since_order": "days",
    "spent_so_far": "the main currency",
    "pause_chance": "share, 0 to 1",
    "share": "share, 0 to 1",
    "share_of_spent": "share, 0 to 1",
    "usual_days": "days",
    **dict.fromkeys(
        (
            "p10",
            "p50",
            "p90",
            "from_open_deals",
            "from_new_deals",
            "won_so_far",
            "actual",
            "naive",
            "per_day",
        ),
        "the main currency",
    ),
}
_DERIVED: Final = {
    "orders_12m": "Orders expected within the next 365 days",
    "order_chance_12m": "The chance of at least one order within the next 365 days",
    "mean_order": "What an order is expected to bring",
    "clv_12m": "Expected value of the next 365 days, discounted by 1 % a month",
    "orders_so_far": "Days with an order so far",
    "days_since_order": "Days since the last order",
    "value_from": "Where the chance comes from: bg_nbd, empirical or contract",
    "value_note": "Why there is no value",
    "complete": "Share of the expected fields that are filled",
    "valid": "Share of the fields with a rule that keep it",
    "quiet_months": "Months (of 30 days) since anything happened; empty while that is not long",
    "duplicate_of": "The record that is probably the same",
    "wrong_fields": "Fields whose content can't be right",
    "gain": "What the log-loss could fall by for each record that lacks the field, at most",
    "others": "The same of all other deals",
    "p_value": "How often chance alone gives as much",
    "q_value": "The p-value after the correction for looking at many (Benjamini and Hochberg)",
    "stands_out": "above or below where that is sure, else empty",
    "mix": "What of the change comes from other groups' shares",
    "within": "What of the change lies within the groups",
    "recency_score": "Score of the last order's day, 1 (long ago) to 5; equal days score alike",
    "frequency_score": "Score of the number of orders, 1 (few) to 5; equal numbers score alike",
    "money_score": "Score of what was spent, 1 (little) to 5; equal sums score alike",
    "spent_so_far": "What all orders came to, refunds taken off",
    "pause_chance": "The chance of so long a pause if the customer kept the own rhythm",
}
_FORECAST: Final = {
    "p10": "With one chance in ten it is less",
    "p50": "It is as likely to be more as to be less",
    "p90": "With one chance in ten it is more",
    "from_open_deals": "The part of the mean that deals open now are expected to bring",
    "from_new_deals": "The part of the mean that deals not there yet are expected to bring",
    "won_so_far": "What was won in the month already",
    "actual": "What came",
    "naive": "The revenue of as many months before",
    "mean_amount": "Mean amount of the deals won within a year before",
    "days_to_win": "Mean days from creation of the deals won within a year before",
    "per_day": "Revenue a day: open deals x win rate x mean amount / days to win",
}
_PIPELINE: Final = {
    "best_days": "Days within which the quickest quarter left the stage",
    "deal_days_lost": "Days of the last year that deals stayed longer than the quickest quarter",
    "money_delayed": "Expected revenue that waited in the stage on an average day of the last year",
    "is_bottleneck": "Whether most deal-days are lost in this stage",
    "is_sure": "Whether its interval lies above those of all other stages",
    "place": "Its place on the way of the deals, from 1; empty for ends",
    "returned": "Deals that came back to the stage",
    "moves": "How often the move was made",
    "owners": "How many owners the deals had; there and back: one had before got it again",
}
_EFFICIENCY: Final = {
    "raw": "The rate on its own, not drawn towards the peers",
    "before": "The rate of the window before, on its own",
    "trend": "rising or falling where that is sure, else unclear",
}
_WHAT_IF: Final = {
    "what_if": Meaning("The change of one input that would raise the score most, of those a person can make"),
    "what_if_input": Meaning("That input"),
    "what_if_score": Meaning("The score after that change", "percent"),
}
_LEDGER: Final = {
    "run": Meaning("The run's number"),
    "plan": Meaning("The plan's number"),
    "kind": Meaning("What kind of run or plan it is"),
    "moment": Meaning("The moment the run or plan holds for", "UTC"),
    "started_at": Meaning("When the run began", "UTC"),
    "finished_at": Meaning("When the run ended; empty while it has not", "UTC"),
    "status": Meaning("How it stands"),
    "attempts": Meaning("How often it was begun, or sent"),
    "summary": Meaning("What the run counted", "JSON"),
    "error": Meaning("Why it failed"),
    "approved_by": Meaning("Who let it be written: a person or the policy in the settings"),
    "guards": Meaning("The guards that stopped it, each with its reason", "JSON"),
    "undoes": Meaning("The run whose writes it takes back"),
    "position": Meaning("The row's place in its plan"),
    "object": Meaning("The record's kind"),
    "before": Meaning("What the CRM held when it was planned, by field", "JSON"),
    "after": Meaning("What was to be written, by field", "JSON"),
    "reason": Meaning("Why it was to be written"),
    "state": Meaning("pending, sent, same or rejected"),
    "code": Meaning("The CRM's code where it refused"),
    "message": Meaning("The CRM's words where it refused"),
    "model": Meaning("The model's name"),
    "metric": Meaning("The metric"),
    "provisional": Meaning("Whether it rests on the prior more than on outcomes"),
    "created_at": Meaning("When it was made", "UTC"),
    "card": Meaning("The model's card", "JSON"),
}


def of_record(object_name: str, column: str) -> Meaning:
    """A column of an object's records: the common model's field, or a field of the CRM under its own name."""
    if column in _RECORD:
        return _RECORD[column]
    if column not in RECORDS[object_name].model_fields:  # type: ignore[index]
        return Meaning("A field of the CRM, as text under the CRM's own name")
    return Meaning(_words(column), _unit(column))


def of_result(column: str) -> Meaning:
    """A column of a metric's results."""
    if column == "id":
        return _RECORD["id"]
    if column in CATALOGUE:
        base = re.sub(r"_(low|high)$", "", column)
        return Meaning(CATALOGUE[column].description, _UNITS.get(column, _UNITS.get(base)))
    if column in _WHAT_IF:
        return _WHAT_IF[column]
    rate, _, what = column.rpartition("_")
    if what in _EFFICIENCY and f"{rate}_efficiency" in CATALOGUE:
        return Meaning(_EFFICIENCY[what], None if what == "trend" else _UNITS[f"{rate}_efficiency"])
    return Meaning(
        (_DERIVED | _FORECAST | _PIPELINE).get(column, _words(column)), _UNITS.get(column, _unit(column))
    )


def of_ledger(column: str) -> Meaning:
    """A column of the ledger's tables."""
    return _LEDGER.get(column, Meaning(_words(column), _unit(column)))


def _words(column: str) -> str:
    return column.replace("_", " ").strip().capitalize()


def _unit(column: str) -> str | None:
    return next((unit for end, unit in _ENDS if column.endswith(end)), None)
