"""Chinese, simplified."""

from __future__ import annotations

from typing import Final

OTHERS: Final = "（其他）"


def none_closed() -> str:
    return "尚无已关闭的商机，无从比较。"


def compared(comparisons: int, sure: int) -> str:
    if not comparisons:
        return "无从比较：没有字段能把已关闭的商机分成每组十个以上的组。"
    if not sure:
        return f"{comparisons} 项比较中，没有一项超出偶然（错误发现率 10 %）。"
    return f"{comparisons} 项比较中，{sure} 项在多重比较校正后仍成立（错误发现率 10 %）。"


def win_rate_moved(quarter: str, before: float, after: float, p_value: float | None) -> str:
    text = f"{quarter} 已关闭商机的赢单率为 {100 * after:.1f} %，上一季度为 {100 * before:.1f} %"
    return text + ("。" if p_value is not None and p_value < 0.1 else "：未超出偶然。")


def several_currencies() -> str:
    return "赢单使用多种货币：不比较金额。"
