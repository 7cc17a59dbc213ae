"""Chinese, simplified. What stands before the first colon of an action is its kind."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final

from crmbridge.metrics.advice.rates import Share

JOINT: Final = "；"
ASK_FOR: Final = ("请联系其", "")
ANSWERED_LAST: Final = ("请联系上次应答的", "")
SUCH: Final[Mapping[str, str]] = {"lead": "线索", "deal": "商机"}
_CAME: Final[Mapping[str, str]] = {"lead": "转化", "deal": "赢单"}
_KINDS: Final[Mapping[str, str]] = {"call": "电话", "meeting": "会议", "email": "电子邮件", "task": "任务"}
_FIELDS: Final[Mapping[str, str]] = {"amount": "金额", "expected_close": "预计成交日期"}
_NAMES: Final[Mapping[str, str]] = {
    "title": "职位",
    "industry": "行业",
    "employees": "员工人数",
    "annual_revenue": "年收入",
    "country": "国家",
    "lead_source": "线索来源",
    "type": "类型",
    "amount": "金额",
}
_DAYS: Final = ("周一", "周二", "周三", "周四", "周五", "周六", "周日")


def share(of: Share) -> str:
    value = 100.0 * of.rate
    shown = f"{value:.1f}" if 0.05 <= value < 9.95 else f"{value:.0f}"
    return f"{of.n:,} 中的 {shown}%"


def span(days: int) -> str:
    """`1 天`, `1,200 天`."""
    return f"{days:,} 天"


def ago(days: int) -> str:
    return "今天" if days == 0 else f"{span(days)}前"


def waiting(minutes: float) -> str:
    for size, name in ((1440, "天"), (60, "小时"), (1, "分钟")):
        if minutes >= size:
            return f"{round(minutes / size):,} {name}"
    return "1 分钟"


# Kinds with their own numbers


def hand_over(days: int | None) -> str:
    last = "从未联系过" if days is None else f"上次联系在{ago(days)}"
    return f"移交：负责人已停用；{last}"


def overdue(kind: str, day: date, days: int) -> str:
    return f"兑现承诺：{ago(days)}（{day.isoformat()}）到期的{_KINDS.get(kind, '活动')}仍未完成"


def rebook(days: int) -> str:
    return f"另约时间：{ago(days)}的会议对方未到"


def planned(kind: str, day: date, days: int) -> str:
    when = "今天" if days <= 0 else "明天" if days == 1 else f"{days:,} 天后"
    return f"做好准备：计划{when}的{_KINDS.get(kind, '活动')}（{day.isoformat()}）"


def close_date(day: date, days: int) -> str:
    return f"更新预计成交日期：原定日期已于{ago(days)}（{day.isoformat()}）过去"


def first_contact(age: int | None) -> str:
    since = "" if age is None or age <= 0 else f"{span(age)}来"
    return f"首次致电：{since}从未联系过"


def write_instead(number: int, streak: int, calls: Share, mails: Share) -> str:
    return (
        f"改发电子邮件：连续 {number} 次电话无人接听；连续 {streak} 次之后，下一次电话接通 {share(calls)}，"
        f"电子邮件获回复 {share(mails)}"
    )


def call_instead(number: int, calls: Share, mails: Share) -> str:
    return f"改打电话：{number} 封电子邮件未获回复；电话接通 {share(calls)}，电子邮件获回复 {share(mails)}"


def close_out(days: int) -> str:
    return f"结案：已有 {span(days)}没有联系"


def call_again(days: int) -> str:
    return f"致电：已有 {span(days)}没有联系"


def move_on(days: int, stage: str, usual: int) -> str:
    return f"推进：在“{stage}”停留 {span(days)}，半数商机在 {span(usual)}内离开"


def try_again(days: int) -> str:
    return f"再试一次：上次联系在{ago(days)}，无人应答"


def fill_in(field: str, filled: Share) -> str:
    return f"填写{_FIELDS[field]}：尚缺，已关闭商机 {share(filled)} 已填"


def in_touch(days: int) -> str:
    return f"约定下一步：保持着联系，上次联系在{ago(days)}"


# Evidence from the history


def held_after(held: Share) -> str:
    return f"缺席之后的下一次会议 {share(held)} 如期举行"


def overran(late: Share, in_time: Share) -> str:
    return f"超过预计日期才关闭的商机赢单 {share(late)}，按期关闭的 {share(in_time)}"


def quick(such: str, minutes: float, soon: Share, late: Share) -> str:
    return f"{waiting(minutes)}内联系的{SUCH[such]}，{share(soon)} {_CAME[such]}，更晚的 {share(late)}"


def hopeless(such: str, days: int, longer: Share) -> str:
    return f"{longer.n:,} 条超过 {span(days)}没有联系的{SUCH[such]}中 {longer.hits:,} 条{_CAME[such]}"


def cold(such: str, days: int, won: int) -> str:
    return f"{won:,} 条已{_CAME[such]}的{SUCH[such]}中，90% 从未超过 {span(days)}没有联系"


def colder(such: str, longer: Share, others: Share) -> str:
    return f"更久没有联系的 {share(longer)} {_CAME[such]}，其余 {share(others)}"


def hour(at: int, answered: Share, rest: Share, industry: str) -> str:
    where = f"“{industry}”行业" if industry else ""
    return f"最好在 {at}:00 至 {at + 1}:00（{where}电话接通 {share(answered)}，其他时段 {share(rest)}）"


def weekday(at: int, answered: Share, rest: Share, industry: str) -> str:
    where = f"“{industry}”行业" if industry else ""
    return f"最好在{_DAYS[at]}（{where}电话接通 {share(answered)}，其他日子 {share(rest)}）"


def own_hour(at: int, answered: Share, rest: Share) -> str:
    return (
        f"最好在 {at}:00 至 {at + 1}:00：此时 {answered.n} 次电话接通 {answered.hits} 次，"
        f"其他时段 {rest.n} 次接通 {rest.hits} 次"
    )


# Changes


def bottleneck(
    stage: str, stays: int, lost: float, best_days: float, typical: float | None, sure: bool
) -> str:
    usual = "" if typical is None else f"，半数在 {typical:.1f} 天内"
    much = "可以确定是最慢的阶段" if sure else "最慢的阶段"
    return (
        f"缩短“{stage}”，{much}：最快的四分之一在 {best_days:.1f} 天内离开{usual}；去年的 {stays:,} 次停留"
        f"共多耗 {lost:,.0f} 商机日。价值为平均每天滞留在此的预期收入。"
    )


def response(minutes: float, soon: Share, late: Share, a_year: float) -> str:
    return (
        f"在 {waiting(minutes)}内联系新线索：如此及时联系的 {share(soon)} 转化，更晚的 {share(late)}；每年有 "
        f"{a_year:,.0f} 条更晚。这是关联，不是证明：先联系的可能本就是更好的线索。"
    )


def efficiency(name: str, rate: float, low: float, high: float, typical: float, hours: float) -> str:
    return (
        f"了解 {name} 的跟进方式：每小时赢单 {rate:.3f}（90% 区间 {low:.3f} 至 {high:.3f}），销售代表的中位"
        f"为 {typical:.3f}；期间共 {hours:,.0f} 小时。这是关联，不是证明：各人的客户可能不同。"
    )


def channel(worst: str, best_: str, low_rate: float, high_rate: float, hours: float) -> str:
    return (
        f"把时间从{_KINDS.get(worst, worst)}移到{_KINDS.get(best_, best_)}：每小时积极结果 {low_rate:.2f} 对 "
        f"{high_rate:.2f}，区间不重叠；期间共 {hours:,.0f} 小时。"
        "这是关联，不是证明：两种渠道的结果价值未必相同。"
    )


def repair(such: str, field: str, missing: int, gain: float, known: int) -> str:
    return (
        f"为 {missing:,} 条未结{SUCH[such]}填写{_NAMES.get(field, field)}：在 {known:,} 条已结记录中，"
        f"它每条最多说明结果的 {gain:.3f} 奈特。"
    )
