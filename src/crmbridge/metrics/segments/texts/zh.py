"""Chinese, simplified."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SLIPPING: Final = "正在流失"
LOST: Final = "已流失"
NEW: Final = "尚无订单"
NAMES: Final[Mapping[str, str]] = {
    "+++": "最佳客户",
    "++-": "小额常客",
    "+-+": "近期少量大单",
    "+--": "近期少量小单",
    "-++": "沉寂的优质客户",
    "-+-": "沉寂的小额常客",
    "--+": "久远的少量大单",
    "---": "久远的少量小单",
    "++": "近期常客",
    "+-": "近期少量订单",
    "-+": "沉寂的常客",
    "--": "久远的少量订单",
}


def too_few(customers: int, needed: int) -> str:
    return f"无法分组：只有 {customers} 位客户下过单，至少需要 {needed} 位。"


def groups(number: int, other_seed: float, other_half: float) -> str:
    return (
        f"{number} 个分组在换随机种子（一致度 {other_seed:.2f}，满分 1）"
        f"和换另一半客户（{other_half:.2f}）时都能重现。"
    )


def fewer(tried: int) -> str:
    return f"更多分组（最多 {tried} 个）不能重现，因此不采用。"


def none_stable() -> str:
    return "任何分组都不能重现，连两组也不行：客户之间只有程度差别，没有类别差别。按高于或低于平均值命名。"
