"""Chinese, simplified."""

from __future__ import annotations


def too_few(repeaters: int, needed: int) -> str:
    return f"无法评估客户价值：只有 {repeaters} 位客户再次下单，至少需要 {needed} 位。"


def by_model(customers: int, repeaters: int) -> str:
    return (
        f"BG/NBD 模型，基于 {customers:,} 位客户，其中 {repeaters:,} 位曾再次下单。"
        "对只下过一次单的客户，模型无法判断谁已流失：其概率取自同类客户的实际回购比例。"
    )


def nobody_leaves(reason: str) -> str:
    why = {
        "nobody leaves": "这些订单中看不出有客户流失（拟合退化：a 趋于 0）",
        "boundary": "拟合到达了参数边界",
        "no maximum": "拟合没有找到最大值",
    }[reason]
    return (
        f"无法使用 BG/NBD：{why}。再次下单的概率改用经验比例：沉寂同样久的客户中，"
        "一年内再次下单的比例。订单数来自每位客户自己的频率并与其他客户合并估计（NBD）。"
    )


def contracts(regular: float | None, period: float, problem: str | None) -> str:
    how = "按设置" if regular is None else f"{100 * regular:.0f} % 的客户按固定间隔下单"
    text = f"客户按合同续约处理（{how}），续约周期的中位数为 {period:,.0f} 天。"
    if problem:
        what = {
            "none lapsed": "没有合同终止",
            "none renewed": "没有合同续约",
            "boundary": "拟合到达边界",
            "no maximum": "拟合没有找到最大值",
        }[problem]
        text += f"所有客户采用同一续约率（{what}）。"
    return text


def spending(problem: str | None, correlation: float | None) -> str:
    if problem == "too few":
        return "有金额的重复订单太少：每位客户的平均订单额向总体平均值收缩。"
    if problem:
        return f"无法使用 Gamma-Gamma（{problem}）：每位客户的平均订单额向总体平均值收缩。"
    if correlation is not None and abs(correlation) >= 0.3:
        return (
            f"下单频繁的客户每单金额更{'高' if correlation > 0 else '低'}（秩相关 {correlation:.2f}）；"
            "Gamma-Gamma 假设两者独立，因此极端值会有偏差。"
        )
    return ""


def no_amounts() -> str:
    return "订单没有金额：只给出概率，不给出价值。"


def other_currencies(orders: int, currency: str) -> str:
    return f"{orders:,} 份订单不是 {currency}：计入订单数，不计金额。"


def tested(predicted: float, actual: float, days: int, covered: float | None) -> str:
    text = f"用最近 {days} 天检验：预期 {predicted:,.0f} 单，实际 {actual:,.0f} 单"
    if covered is not None:
        text += f"；{100 * covered:.0f} % 客户的价值落在其 90 % 区间内"
    return text + "。"


def not_tested() -> str:
    return "未检验：历史太短，无法一分为二。"


NO_MODEL = "再次下单的客户太少"
NO_ORDER = "尚无订单"
OTHER_CURRENCY = "订单为其他货币或没有金额"
