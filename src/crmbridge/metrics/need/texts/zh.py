"""Chinese (simplified)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from crmbridge.metrics.need.texts.figures import number, short
from crmbridge.model.records import ObjectName

JOINT: Final = "；"
"""Between two reasons."""
SUCH: Final[Mapping[ObjectName, str]] = {"lead": "线索", "deal": "商机", "account": "客户"}
COME: Final[Mapping[ObjectName, str]] = {"lead": "转化", "deal": "赢单", "account": "再次下单"}
_COUNTED: Final[Mapping[ObjectName, str]] = {"lead": "条", "deal": "个", "account": "家"}
"""The word that counts them."""

_LABELS: Final[Mapping[str, str]] = {
    "owner_id": "负责人",
    "company": "公司",
    "title": "职位",
    "email": "电子邮件",
    "phone": "电话",
    "website": "网站",
    "industry": "行业",
    "employees": "员工人数",
    "owner_record": "负责人迄今的成功率（%）",
    "annual_revenue": "年收入",
    "country": "国家",
    "lead_source": "线索来源",
    "amount": "金额",
    "currency": "币种",
    "type": "类型",
    "stage": "阶段",
    "age": "创建至今的天数",
    "contacts": "最近 {window} 天的联系次数",
    "reached": "最近 {window} 天得到回应的联系次数",
    "missed": "最近 {window} 天未接通的联系次数",
    "inbound": "最近 {window} 天对方主动联系的次数",
    "contact_hours": "最近 {window} 天的联系时长（小时）",
    "days_since_contact": "距上次联系的天数",
    "days_in_stage": "在当前阶段的天数",
    "stage_changes": "至今的阶段变更次数",
    "days_to_expected_close": "距预计结束日期的天数",
    "account_orders": "客户的订单数",
    "account_days_since_order": "距客户上次下单的天数",
    "orders": "至今的订单数",
    "orders_last_year": "最近 365 天的订单数",
    "days_since_order": "距上次下单的天数",
    "days_since_first_order": "距首次下单的天数",
    "days_between_orders": "两次下单之间的天数",
    "overdue": "距上次下单的天数与通常间隔之比",
    "mean_order": "平均订单金额",
    "created_at": "创建日期",
    "expected_close": "预计结束日期",
}
_NEVER: Final[Mapping[str, str]] = {
    "owner_record": "负责人尚无记录",
    "days_since_contact": "从未联系过",
    "account_days_since_order": "客户尚未下过单",
    "days_between_orders": "至今只下过一次单",
    "overdue": "至今只下过一次单",
    "age": "创建日期未知",
}


def label(name: str, window_days: int) -> str:
    """What people call an input."""
    if name in _LABELS:
        return _LABELS[name].format(window=f"{window_days:,}")
    if name.startswith("days_since."):
        return f"距“{label(name.removeprefix('days_since.'), window_days)}”的天数"
    if name.startswith("account.attributes."):
        return f"客户的{name.removeprefix('account.attributes.')}"
    if name.startswith("account."):
        return f"客户的{label(name.removeprefix('account.'), window_days)}"
    if name.startswith("attributes."):
        return name.removeprefix("attributes.")
    return name.replace("_", " ").capitalize()


def level(name: str, window_days: int, text: str) -> str:
    return f"{label(name, window_days)}为“{text}”"


def filled(name: str, window_days: int) -> str:
    return f"已填写{label(name, window_days)}"


def other(name: str, window_days: int) -> str:
    return f"{label(name, window_days)}为少见的或新的值"


def missing(name: str, window_days: int) -> str:
    return _NEVER.get(name, f"未填写{label(name, window_days)}")


def between(name: str, window_days: int, low: float | None, high: float | None) -> str:
    """A range of a number: above `low`, up to `high`."""
    above = "" if low is None else f"大于 {number(low)}"
    upto = "" if high is None else f"不超过 {number(high)}"
    return label(name, window_days) + (" 且".join(bound for bound in (above, upto) if bound) or "已知")


def percent(share: float) -> str:
    """`31%`; below 10 % with a decimal."""
    value = 100.0 * share
    return f"{value:.1f}%" if 0.05 <= value < 9.95 else f"{value:.0f}%"


def _many(object_name: ObjectName, n: int) -> str:
    """`412 条`"""
    return f"{n:,} {_COUNTED[object_name]}"


def seldom(subject: str, object_name: ObjectName, n: int) -> str:
    return f"{subject}：历史中仅有 {_many(object_name, n)}这样的{SUCH[object_name]}"


def with_rate(subject: str, object_name: ObjectName, share: float, n: int, of_all: float) -> str:
    such = f"{_many(object_name, n)}这样的{SUCH[object_name]}"
    return f"{subject}：{such}中 {percent(share)} {COME[object_name]}，全部为 {percent(of_all)}"


def beside_others(subject: str, object_name: ObjectName, n: int) -> str:
    """For a group whose own rate points the other way: the effect shows only beside the other inputs."""
    return f"{subject}，其他条件相同时（{_many(object_name, n)}这样的{SUCH[object_name]}）"


def unseen(subject: str, object_name: ObjectName) -> str:
    return f"{subject}：历史中没有这样的{SUCH[object_name]}"


# What if


def if_number(name: str, window_days: int, before: float | None, after: float) -> str:
    was = "从未" if before is None else number(before)
    return f"{label(name, window_days)}：{was} → {number(after)}"


def if_level(name: str, window_days: int, before: str, after: str) -> str:
    return f"{label(name, window_days)}：{before} → {after}"


def if_filled(name: str, window_days: int) -> str:
    return f"{label(name, window_days)}：填写"


# Model card

DROPPED: Final[Mapping[str, str]] = {
    "empty": "从未填写",
    "constant": "所有记录的值都相同",
    "varied": "几乎每条记录的文本都各不相同",
    "seldom": "只在太少的案例中已知",
    "rare": "每个值出现的次数都少于 10 次",
}
AUC_UNKNOWN: Final = "未知"


def abstains(object_name: ObjectName) -> str:
    return f"暂无评分：至今没有任何{SUCH[object_name]}的结果是已知的。"


def verdict_useful(auc: str, lift: str) -> str:
    return f"有用：在最新的结果上，模型的排序优于基准率（AUC {auc}）{lift}。"


def verdict_lift(top: float) -> str:
    return f"；评分最高的十分之一是基准率的 {top:.1f} 倍"


def verdict_noise(test: str, auc: str) -> str:
    return (
        f"无法根据这些字段预测结果：在{test}上，模型并不优于基准率（AUC {auc}）。"
        "因此每条记录都得到基准率，且不给出理由。"
    )


def verdict_noise_but_age(test: str, auc: str) -> str:
    return (
        f"无法根据这些字段预测结果：在{test}上，模型并不优于同龄记录的基准率（AUC {auc}）。"
        "因此每条记录都得到其年龄的基准率。"
    )


def verdict_miscalibrated(ece: float, low: float, high: float) -> str:
    return (
        f"所说的机会与实际不符（校准误差 {percent(ece)}，90% 区间 {percent(low)} 至 {percent(high)}），"
        "重新校准后仍然如此：因此不使用输入字段。"
    )


def verdict_drift(predicted: float, observed: float, recalibrated: bool) -> str:
    then = "评分已据此重新校准。" if recalibrated else ""
    return (
        f"机会发生了变化：根据较早的记录，对最新的记录预测为 {percent(predicted)}，"
        f"实际为 {percent(observed)}。{then}"
    )


def verdict_shift(labels: Sequence[str]) -> str:
    return f"最新的记录与较早的不同：{'、'.join(labels)}。"


def verdict_held_back(model: str, records: int) -> str:
    return (
        f"未发布：在最新的 {records:,} 个结果上，正在使用的 {model} 预测得更好。"
        "`--publish` 可以照样启用这个模型。"
    )


def verdict_few(object_name: ObjectName, positives: int, negatives: int, needed: int) -> str:
    such, come = SUCH[object_name], COME[object_name]
    return (
        f"结果太少：{_many(object_name, positives)}{such}{come}，{_many(object_name, negatives)}未{come}；"
        f"两者各达到 {needed} {_COUNTED[object_name]}后才使用输入字段。"
        "在此之前，每条记录都得到偏向先验的基准率。"
    )


def verdict_provisional(test: int, needed: int) -> str:
    return (
        f"暂定：可供检验的结果只有 {test:,} 个，不足以判断模型是否有用（达到 {needed} 个后才下结论）；"
        "先验使评分接近基准率。"
    )


def verdict_none(object_name: ObjectName) -> str:
    return f"没有任何{SUCH[object_name]}的结果是已知的：不评分。"


REFUSED: Final[Mapping[str, str]] = {
    "created_unknown": "创建时间（created_at）未知",
    "created_alike": "所有记录的创建时间（created_at）都相同",
    "closing_unknown": "结束日期未知",
    "one_horizon": "订单历史只覆盖一个预测期",
    "one_moment": "大多数记录是在同一时刻创建的",
    "ended_alike": "较早的记录结果都相同",
}
"""Why there is no split in time."""


def verdict_no_time(why: str) -> str:
    return (
        f"不能按时间划分：{why}。因此在随机的五分之一上检验（按记录分组，固定种子），"
        "这会高估一个环境在变化的模型；并且字段取其现值，尽管可能是在结果之后才填写的。"
    )


def verdict_folds(why: str) -> str:
    return f"不能按时间划分：{why}。因此在随机的五分之一上检验（按记录分组，固定种子）。"


TEST_NEWEST: Final = "最新的五分之一"
TEST_LAST: Final = "最近一期"
TEST_FOLDS: Final = "留出的五分之一"


def auc(value: float, low: float, high: float) -> str:
    """`.49，90% 区间 .47-.51`"""
    return f"{short(value)}，90% 区间 {short(low)}-{short(high)}"


def leak(code: str, figures: Mapping[str, float], object_name: ObjectName) -> str:
    """Why an input is blocked."""
    such = SUCH[object_name]
    if code == "filled_at_closing":
        return (
            f"已结束的{such}中 {percent(figures['closed'])} 已填写，未结束的只有 "
            f"{percent(figures['open'])}：似乎是在结束时填写的"
        )
    if code == "of_closing":
        return f"从名称看，这是结束本身的字段，{such}结束后才会知道"
    if code == "first_filled_at_closing":
        return (
            f"在 {figures['filled']:,.0f} {_COUNTED[object_name]}填有该字段且结束前见过的{such}中，"
            f"{percent(figures['late'])} 是在结束时或之后才首次填写的"
        )
    if code == "collapses":
        return (
            f"{such}结束之后它能说明结果（AUC {short(figures['auc'])}），而一小时之前还不能"
            f"（AUC {short(figures['before'])}）：结束改变了它"
        )
    if code == "dated_later":
        return (
            f"已结束的{such}中 {percent(figures['later'])} 的日期晚于预测时刻，"
            f"未结束的只有 {percent(figures['ahead'])} 晚于今天：它是后来才设定的"
        )
    if code == "one_outcome":
        which = f"已{COME[object_name]}" if figures["positive"] else f"未{COME[object_name]}"
        return f"只在{which}的{such}上填写"
    shift = f"，且未结束的{such}看起来不同（PSI {figures['psi']:.1f}）" if "psi" in figures else ""
    return f"仅凭它就能知道结果（AUC {short(figures['auc'])}）{shift}：好得不像是事先已知的"


def outcome(object_name: ObjectName, days: int) -> str:
    return f"{SUCH[object_name]}在 {days:,} 天内{COME[object_name]}"


def prior(rate: float, outcomes: float, sd: float) -> str:
    return (
        f"在有任何结果之前：比率 {percent(rate)}，相当于 {number(outcomes)} 个结果；"
        f"每个效应（对数几率）服从 Normal(0, 尺度²)，每个字段的尺度起初为 {number(sd)}，随后从数据中学习。"
    )


def span(days: int) -> str:
    """`1 天`, `1,200 天`."""
    return f"{days:,} 天"
