"""English."""

from __future__ import annotations


def too_few(repeaters: int, needed: int) -> str:
    return (
        f"Nothing is said about values: {repeaters} customers have ordered a second time, "
        f"and {needed} are needed."
    )


def by_model(customers: int, repeaters: int) -> str:
    return (
        f"BG/NBD, fitted to {customers:,} customers, of whom {repeaters:,} have ordered again. It "
        "can't tell who of those with one order has left: their chance is how many such customers came back."
    )


def nobody_leaves(reason: str) -> str:
    why = {
        "nobody leaves": "in these orders nobody can be seen to leave (the fit degenerates: a goes to 0)",
        "boundary": "the fit ran to the bounds of its parameters",
        "no maximum": "the fit found no maximum",
    }[reason]
    return (
        f"BG/NBD can't be used: {why}. The chance to order again is the empirical rate instead: how many "
        "customers who had been quiet for as long ordered again within a year. Orders come from each "
        "customer's own rate, pooled (NBD)."
    )


def contracts(regular: float | None, period: float, problem: str | None) -> str:
    how = "by the settings" if regular is None else f"{100 * regular:.0f} % of the customers order regularly"
    text = f"Customers are taken to have contracts ({how}), renewed every {period:,.0f} days at the median."
    if problem:
        text += f" All are given the same renewal rate ({problem})."
    return text


def spending(problem: str | None, correlation: float | None) -> str:
    if problem == "too few":
        return "Too few repeat orders have an amount: each customer's mean is drawn to the mean of all."
    if problem:
        return (
            f"Gamma-Gamma can't be used ({problem}): each customer's mean order is drawn to the mean of all."
        )
    if correlation is not None and abs(correlation) >= 0.3:
        return (
            f"Who orders often spends {'more' if correlation > 0 else 'less'} on an order (rank correlation "
            f"{correlation:.2f}); Gamma-Gamma takes the two as independent, so extreme values are off."
        )
    return ""


def no_amounts() -> str:
    return "No order has an amount: chances are given, values are not."


def other_currencies(orders: int, currency: str) -> str:
    return f"{orders:,} orders in other currencies than {currency} count as orders, without their amounts."


def tested(predicted: float, actual: float, days: int, covered: float | None) -> str:
    text = f"Tested on the last {days} days: {predicted:,.0f} orders were expected, {actual:,.0f} came"
    if covered is not None:
        text += f"; {100 * covered:.0f} % of the customers' values lay in their 90 % intervals"
    return text + "."


def not_tested() -> str:
    return "Not tested: the history is too short to be cut in two."


NO_MODEL = "too few customers have ordered a second time"
NO_ORDER = "no order yet"
OTHER_CURRENCY = "orders in another currency, or without amounts"
