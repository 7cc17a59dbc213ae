"""English."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from crmbridge.metrics.need.texts.figures import number, short
from crmbridge.model.records import ObjectName

JOINT: Final = "; "
"""Between two reasons."""
SUCH: Final[Mapping[ObjectName, str]] = {"lead": "leads", "deal": "deals", "account": "accounts"}
COME: Final[Mapping[ObjectName, str]] = {"lead": "convert", "deal": "are won", "account": "order again"}
_ONE: Final[Mapping[ObjectName, str]] = {"lead": "converts", "deal": "is won", "account": "orders again"}

_LABELS: Final[Mapping[str, str]] = {
    "owner_id": "Owner",
    "owner_record": "Owner's record to date in percent",
    "annual_revenue": "Annual revenue",
    "lead_source": "Lead source",
    "age": "Age in days",
    "contacts": "Contacts in the last {window}",
    "reached": "Contacts with an answer in the last {window}",
    "missed": "Missed contacts in the last {window}",
    "inbound": "Inbound contacts in the last {window}",
    "contact_hours": "Hours of contact in the last {window}",
    "days_since_contact": "Days since the last contact",
    "days_in_stage": "Days in the stage",
    "stage_changes": "Stage changes so far",
    "days_to_expected_close": "Days to the expected close",
    "account_orders": "Orders of the account",
    "account_days_since_order": "Days since the account's last order",
    "orders": "Orders so far",
    "orders_last_year": "Orders in the last 365 days",
    "days_since_order": "Days since the last order",
    "days_since_first_order": "Days since the first order",
    "days_between_orders": "Days between orders",
    "overdue": "Days since the last order per usual gap",
    "mean_order": "Mean order amount",
}
_NEVER: Final[Mapping[str, str]] = {
    "owner_record": "No record of the owner yet",
    "days_since_contact": "Never contacted",
    "account_days_since_order": "The account has not ordered yet",
    "days_between_orders": "Ordered once so far",
    "overdue": "Ordered once so far",
    "age": "Age not known",
}


def label(name: str, window_days: int) -> str:
    """What people call an input."""
    if name in _LABELS:
        return _LABELS[name].format(window="day" if window_days == 1 else f"{window_days:,} days")
    if name.startswith("days_since."):
        return f"Days since {label(name.removeprefix('days_since.'), window_days)}"
    for prefix, before in (
        ("account.attributes.", "Account: "),
        ("account.", "Account "),
        ("attributes.", ""),
    ):
        if name.startswith(prefix):
            rest = name.removeprefix(prefix)
            return before + (rest.replace("_", " ") if prefix == "account." else rest)
    return name.replace("_", " ").capitalize()


def level(name: str, window_days: int, text: str) -> str:
    return f"{label(name, window_days)} {text}"


def filled(name: str, window_days: int) -> str:
    return f"{label(name, window_days)} filled in"


def other(name: str, window_days: int) -> str:
    return f"{label(name, window_days)}: a rare or new value"


def missing(name: str, window_days: int) -> str:
    return _NEVER.get(name, f"{label(name, window_days)} not filled in")


def between(name: str, window_days: int, low: float | None, high: float | None) -> str:
    """A range of a number: above `low`, up to `high`."""
    bounds = ("" if low is None else f" over {number(low)}", "" if high is None else f" up to {number(high)}")
    return label(name, window_days) + ("".join(bounds) or " known")


def percent(share: float) -> str:
    """`31 %`; below 10 % with a decimal."""
    value = 100.0 * share
    return f"{value:.1f} %" if 0.05 <= value < 9.95 else f"{value:.0f} %"


def seldom(subject: str, object_name: ObjectName, n: int) -> str:
    return f"{subject}: only {n:,} such {_such(object_name, n)} in the history"


def _such(object_name: ObjectName, n: int) -> str:
    return SUCH[object_name].removesuffix("s") if n == 1 else SUCH[object_name]


def _come(object_name: ObjectName, n: int) -> str:
    return _ONE[object_name] if n == 1 else COME[object_name]


def with_rate(subject: str, object_name: ObjectName, share: float, n: int, of_all: float) -> str:
    rate = f"{percent(share)} of {n:,} such {_such(object_name, n)} {_come(object_name, n)}"
    return f"{subject}: {rate}, {percent(of_all)} of all"


def beside_others(subject: str, object_name: ObjectName, n: int) -> str:
    """For a group whose own rate points the other way: the effect shows only beside the other inputs."""
    return f"{subject}, the other inputs being equal ({n:,} such {_such(object_name, n)})"


def unseen(subject: str, object_name: ObjectName) -> str:
    return f"{subject}: no such {SUCH[object_name]} in the history"


# What if


def if_number(name: str, window_days: int, before: float | None, after: float) -> str:
    was = "never" if before is None else number(before)
    return f"{label(name, window_days)}: {was} → {number(after)}"


def if_level(name: str, window_days: int, before: str, after: str) -> str:
    return f"{label(name, window_days)}: {before} → {after}"


def if_filled(name: str, window_days: int) -> str:
    return f"{label(name, window_days)}: fill it in"


# Model card

DROPPED: Final[Mapping[str, str]] = {
    "empty": "it is never filled",
    "constant": "it has the same value everywhere",
    "varied": "nearly every record has a text of its own",
    "seldom": "it was known in too few of the cases",
    "rare": "every value is seen fewer than 10 times",
}
AUC_UNKNOWN: Final = "not known"


def abstains(object_name: ObjectName) -> str:
    return f"No score yet: no {SUCH[object_name].removesuffix('s')}'s outcome is known so far."


def verdict_useful(auc: str, lift: str) -> str:
    return f"Useful: on the newest outcomes the model ranks better than the base rate (AUC {auc}){lift}."


def verdict_lift(top: float) -> str:
    return f"; the best-scored tenth has {top:.1f} times the base rate"


def verdict_noise(test: str, auc: str) -> str:
    return (
        f"The outcome can't be predicted from these columns: on {test} the model is no better than the base "
        f"rate (AUC {auc}). So every record gets the base rate, and no reasons are given."
    )


def verdict_noise_but_age(test: str, auc: str) -> str:
    return (
        f"The outcome can't be predicted from these columns: on {test} the model is no better than the base "
        f"rate at the same age (AUC {auc}). So every record gets the base rate of its age."
    )


def verdict_miscalibrated(ece: float, low: float, high: float) -> str:
    return (
        f"Its chances don't come true as often as they say (calibration error {percent(ece)}, 90 % "
        f"{percent(low)} to {percent(high)}), even recalibrated: so the inputs are not used."
    )


def verdict_drift(predicted: float, observed: float, recalibrated: bool) -> str:
    then = " The scores are recalibrated to them." if recalibrated else ""
    return (
        f"The chances have changed: for the newest records {percent(predicted)} was predicted from the older "
        f"ones, and {percent(observed)} came.{then}"
    )


def verdict_shift(labels: Sequence[str]) -> str:
    return f"The newest records differ from the older ones in {', '.join(labels)}."


def verdict_held_back(model: str, records: int) -> str:
    return (
        f"Not published: on the {records:,} newest outcomes {model}, which is in use, predicts better. "
        "`--publish` puts this one into use all the same."
    )


def verdict_few(object_name: ObjectName, positives: int, negatives: int, needed: int) -> str:
    come = _come(object_name, positives)
    lack = "doesn't" if negatives == 1 else "don't"
    return (
        f"Too few outcomes: {positives:,} {_such(object_name, positives)} that {come} and {negatives:,} that "
        f"{lack}; from {needed} of each on, inputs are used. Until then every record gets the base rate, "
        "drawn towards the prior."
    )


def verdict_provisional(test: int, needed: int) -> str:
    few = f"{test:,} outcome to test on is" if test == 1 else f"{test:,} outcomes to test on are"
    return (
        f"Provisional: {few} too few to tell whether the model is useful (from {needed} on it is told); the "
        "prior keeps the scores near the base rate."
    )


def verdict_none(object_name: ObjectName) -> str:
    return f"No outcome of any of the {SUCH[object_name]} is known: no scores."


REFUSED: Final[Mapping[str, str]] = {
    "created_unknown": "created_at is not known",
    "created_alike": "created_at is the same for all records",
    "closing_unknown": "the closing date is not known",
    "one_horizon": "orders reach back over one horizon only",
    "one_moment": "most records were created at one moment",
    "ended_alike": "the older records all ended alike",
}
"""Why there is no split in time."""


def verdict_no_time(why: str) -> str:
    return (
        f"A split in time is refused: {why}. So the test is on random fifths (grouped by record, seeded), "
        "which flatters a model whose world changes; and fields are taken as they stand, although they may "
        "have been filled in after the outcome."
    )


def verdict_folds(why: str) -> str:
    return f"A split in time is refused: {why}. So the test is on random fifths (grouped by record, seeded)."


TEST_NEWEST: Final = "the newest fifth"
TEST_LAST: Final = "the newest period"
TEST_FOLDS: Final = "held-out fifths"


def auc(value: float, low: float, high: float) -> str:
    """`.49, 90 % .47-.51`"""
    return f"{short(value)}, 90 % {short(low)}-{short(high)}"


def leak(code: str, figures: Mapping[str, float], object_name: ObjectName) -> str:
    """Why an input is blocked."""
    such = SUCH[object_name]
    if code == "filled_at_closing":
        return (
            f"filled on {percent(figures['closed'])} of the closed {such} and on {percent(figures['open'])} "
            "of the open ones: it seems to be filled in at closing"
        )
    if code == "of_closing":
        return f"by its name it is a field of the closing itself, known only when the {object_name} has ended"
    if code == "first_filled_at_closing":
        return (
            f"first filled in at or after closing on {percent(figures['late'])} of the "
            f"{figures['filled']:,.0f} {such} that have it and were seen open before"
        )
    if code == "collapses":
        return (
            f"it tells the outcome once the {such} are closed (AUC {short(figures['auc'])}), and an hour "
            f"before it did not (AUC {short(figures['before'])}): closing changes it"
        )
    if code == "dated_later":
        return (
            f"on {percent(figures['later'])} of the closed {such} the date lies after the moment of "
            f"prediction, on {percent(figures['ahead'])} of the open ones ahead of today: it is set later"
        )
    if code == "one_outcome":
        which = (
            f"that {COME[object_name]}" if figures["positive"] else f"that don't {_infinitive(object_name)}"
        )
        return f"filled only on {such} {which}"
    shift = f", and open {such} look different (PSI {figures['psi']:.1f})" if "psi" in figures else ""
    alone = f"it alone tells the outcome (AUC {short(figures['auc'])})"
    return f"{alone}{shift}: too good to have been known before"


def _infinitive(object_name: ObjectName) -> str:
    return {"lead": "convert", "deal": "get won", "account": "order again"}[object_name]


def outcome(object_name: ObjectName, days: int) -> str:
    return f"the {object_name} {_ONE[object_name]} within {span(days)}"


def prior(rate: float, outcomes: float, sd: float) -> str:
    return (
        f"Before any outcome: a rate of {percent(rate)}, worth {number(outcomes)} outcomes; each effect on "
        f"the log-odds Normal(0, scale²), the scale of each field {number(sd)} at first, then learned."
    )


def span(days: int) -> str:
    """`1 day`, `1,200 days`."""
    return "1 day" if days == 1 else f"{days:,} days"
