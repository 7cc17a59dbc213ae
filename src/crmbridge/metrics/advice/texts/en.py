"""English. What stands before the first colon of an action is its kind: it must not change from day to
day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final

from crmbridge.metrics.advice.rates import Share

JOINT: Final = "; "
"""Between two pieces of evidence."""
ASK_FOR: Final = ("ask for the ", "")
ANSWERED_LAST: Final = ("ask for the ", ", who answered last")
SUCH: Final[Mapping[str, str]] = {"lead": "leads", "deal": "deals"}
_CAME: Final[Mapping[str, str]] = {"lead": "converted", "deal": "won"}
_KINDS: Final[Mapping[str, str]] = {"call": "call", "meeting": "meeting", "email": "e-mail", "task": "task"}
_FIELDS: Final[Mapping[str, str]] = {"amount": "amount", "expected_close": "close date"}
_DAYS: Final = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


def share(of: Share) -> str:
    """`31 % of 412`; below 10 % with a decimal."""
    value = 100.0 * of.rate
    shown = f"{value:.1f}" if 0.05 <= value < 9.95 else f"{value:.0f}"
    return f"{shown} % of {of.n:,}"


def span(days: int) -> str:
    """`1 day`, `1,200 days`."""
    return "1 day" if days == 1 else f"{days:,} days"


def ago(days: int) -> str:
    return "today" if days == 0 else f"{span(days)} ago"


def waiting(minutes: float) -> str:
    """`40 minutes`, `5 hours`, `3 days`."""
    for size, name in ((1440, "day"), (60, "hour"), (1, "minute")):
        if minutes >= size:
            number = round(minutes / size)
            return f"{number:,} {name}{'' if number == 1 else 's'}"
    return "1 minute"


# Kinds with their own numbers


def hand_over(days: int | None) -> str:
    last = "never contacted" if days is None else f"last contact {ago(days)}"
    return f"Hand over: the owner is no longer active; {last}"


def overdue(kind: str, day: date, days: int) -> str:
    what = _KINDS.get(kind, "activity")
    return f"Do what was promised: {what} due {ago(days)} ({day.isoformat()}) is still open"


def rebook(days: int) -> str:
    return f"Offer a new date: the meeting {ago(days)} was missed"


def planned(kind: str, day: date, days: int) -> str:
    when = "today" if days <= 0 else "tomorrow" if days == 1 else f"in {days:,} days"
    return f"Prepare: {_KINDS.get(kind, 'activity')} planned {when} ({day.isoformat()})"


def close_date(day: date, days: int) -> str:
    return f"Set a new close date: the expected one passed {ago(days)} ({day.isoformat()})"


def first_contact(age: int | None) -> str:
    since = "" if age is None or age <= 0 else f" in {span(age)}"
    return f"Make the first call: never contacted{since}"


def write_instead(number: int, streak: int, calls: Share, mails: Share) -> str:
    return (
        f"Write an e-mail: {number} calls in a row unanswered; after {streak} such, {share(calls)} next "
        f"calls were answered, {share(mails)} e-mails"
    )


def call_instead(number: int, calls: Share, mails: Share) -> str:
    rates = f"{share(calls)} calls are answered, {share(mails)} e-mails"
    return f"Call instead: {number} e-mails without a reply; {rates}"


def close_out(days: int) -> str:
    return f"Close it out: no contact for {span(days)}"


def call_again(days: int) -> str:
    return f"Call: no contact for {span(days)}"


def move_on(days: int, stage: str, usual: int) -> str:
    return f"Move it on: {span(days)} in {stage}, half of the deals leave it within {span(usual)}"


def try_again(days: int) -> str:
    return f"Try again: last tried {ago(days)} without an answer"


def fill_in(field: str, filled: Share) -> str:
    return f"Fill in the {_FIELDS[field]}: it is missing, {share(filled)} closed deals had one"


def in_touch(days: int) -> str:
    return f"Agree on the next step: in touch, last contact {ago(days)}"


# Evidence from the history


def held_after(held: Share) -> str:
    return f"after a missed one {share(held)} next meetings took place"


def overran(late: Share, in_time: Share) -> str:
    return f"{share(late)} deals closed after their date were won, {share(in_time)} of those closed by then"


def quick(such: str, minutes: float, soon: Share, late: Share) -> str:
    rates = f"{share(soon)} {_CAME[such]}, later ones {share(late)}"
    return f"{SUCH[such]} contacted within {waiting(minutes)}: {rates}"


def hopeless(such: str, days: int, longer: Share) -> str:
    return f"of {longer.n:,} {SUCH[such]} quiet for over {span(days)} {longer.hits:,} {_CAME[such]}"


def cold(such: str, days: int, won: int) -> str:
    return f"of {won:,} {_CAME[such]} {SUCH[such]} 90 % were never quiet for over {span(days)}"


def colder(such: str, longer: Share, others: Share) -> str:
    return f"{share(longer)} quiet for longer {_CAME[such]}, {share(others)} others"


def hour(at: int, answered: Share, rest: Share, industry: str) -> str:
    where = f" in {industry}" if industry else ""
    return (
        f"best from {at}:00 to {at + 1}:00 ({share(answered)} calls{where} answered, "
        f"{share(rest)} at other hours)"
    )


def weekday(at: int, answered: Share, rest: Share, industry: str) -> str:
    where = f" in {industry}" if industry else ""
    return f"best on {_DAYS[at]} ({share(answered)} calls{where} answered, {share(rest)} on other days)"


def own_hour(at: int, answered: Share, rest: Share) -> str:
    return (
        f"best from {at}:00 to {at + 1}:00: answered {answered.hits} of {answered.n} calls then, "
        f"{rest.hits} of {rest.n} at other hours"
    )


# Changes


def bottleneck(
    stage: str, stays: int, lost: float, best_days: float, typical: float | None, sure: bool
) -> str:
    usual = "" if typical is None else f", half within {typical:.1f}"
    much = "surely the slowest stage" if sure else "the slowest stage"
    return (
        f"Shorten “{stage}”, {much}: the quickest quarter leave it within {best_days:.1f} days{usual}; the "
        f"{stays:,} stays of the last year lost {lost:,.0f} deal-days beyond that. Worth: the expected "
        "revenue that waits there on an average day."
    )


def response(minutes: float, soon: Share, late: Share, a_year: float) -> str:
    return (
        f"Contact new leads within {waiting(minutes)}: {share(soon)} contacted so soon converted, "
        f"{share(late)} later ones; {a_year:,.0f} a year were later. An association, not proof: who is "
        "called soon may be the better lead."
    )


def efficiency(name: str, rate: float, low: float, high: float, typical: float, hours: float) -> str:
    return (
        f"Look at how {name} follows up: {rate:.3f} deals won an hour (90 % {low:.3f} to {high:.3f}), the "
        f"middle of the reps is {typical:.3f}; {hours:,.0f} hours in the window. An association, not proof: "
        "the reps may have different customers."
    )


def channel(worst: str, best_: str, low_rate: float, high_rate: float, hours: float) -> str:
    return (
        f"Move time from {_KINDS.get(worst, worst)}s to {_KINDS.get(best_, best_)}s: {low_rate:.2f} positive "
        f"outcomes an hour against {high_rate:.2f}, the intervals do not overlap; {hours:,.0f} hours in the "
        "window. An association, not proof: an outcome of the one need not be worth one of the other."
    )


def repair(such: str, field: str, missing: int, gain: float, known: int) -> str:
    return (
        f"Fill in {field.replace('_', ' ')} on {missing:,} open {SUCH[such]}: in {known:,} closed ones it "
        f"told up to {gain:.3f} nats of the outcome each."
    )
