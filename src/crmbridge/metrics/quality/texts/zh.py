"""Chinese, simplified."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LABELS: Final[Mapping[str, str]] = {
    "first_name": "名",
    "last_name": "姓",
    "company": "公司",
    "title": "职位",
    "email": "电子邮件",
    "phone": "电话",
    "industry": "行业",
    "employees": "员工数",
    "country": "国家",
    "lead_source": "线索来源",
    "owner_id": "负责人",
    "account_id": "客户",
    "name": "名称",
    "website": "网站",
    "amount": "金额",
    "stage": "阶段",
    "expected_close": "预计成交日",
    "created_at": "创建日期",
    "converted_at": "转化日期",
    "closed_at": "关闭日期",
}
MISSING: Final = "缺失："
WRONG: Final = "无效："
QUIET: Final = ("已有 ", " 个多月没有任何动静")
SAME: Final = "可能重复："
COMMA: Final = "、"
END: Final = "。"


def verdict(records: int, score: float | None, surplus: int) -> str:
    if score is None:
        return "没有记录。"
    text = f"{records:,} 条记录，平均质量 {score:.0f}（满分 100）"
    return text + (f"；约 {surplus:,} 条可能重复。" if surplus else "；没有重复。")
