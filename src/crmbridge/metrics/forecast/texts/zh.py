"""Chinese."""

from __future__ import annotations


def too_few(ended: int, needed: int) -> str:
    return f"无法预测：三年内有日期的已结束商机只有 {ended:,} 个，至少需要 {needed} 个。"


def by_history(ended: int, open_deals: int) -> str:
    return (
        f"依据 {ended:,} 个已结束的商机：处于同一阶段、停留同样久的商机何时赢单。"
        f"目前有 {open_deals:,} 个进行中的商机。"
    )


def by_score(deals: int) -> str:
    return f"其中 {deals:,} 个进行中商机的赢单概率取自其评分。"


def tested(months: int, forecasts: int, coverage: float, error: float | None, naive: float | None) -> str:
    text = (
        f"过去 {forecasts} 次 {months} 个月的预测中，{100 * coverage:.0f} % 落在 P10 与 P90 之间（应为 80 %）"
    )
    if error is None or naive is None:
        return text + "。"
    return f"{text}；P50 平均偏差 {100 * error:.0f} %，照搬前一期的偏差为 {100 * naive:.0f} %。"


def not_tested() -> str:
    return "未经检验：历史太短，无法重做过去的预测。"


def other_currencies(deals: int, currency: str) -> str:
    return f"{deals:,} 个非 {currency} 币种的商机未计入。"
