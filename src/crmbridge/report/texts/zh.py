"""Chinese (simplified)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LIST: Final = ("、", "和")
STEPS: Final = ((1e8, "亿"), (1e4, "万"))
PLAIN: Final[Mapping[str, str]] = {
    "lead": "线索",
    "contact": "联系人",
    "account": "客户",
    "deal": "商机",
    "stage_change": "阶段变更",
    "activity": "活动",
    "order": "订单",
    "rep": "销售",
}
THINGS: Final = {
    "lead": ("条线索", "条线索"),
    "contact": ("位联系人", "位联系人"),
    "account": ("家客户", "家客户"),
    "deal": ("个商机", "个商机"),
    "stage_change": ("次阶段变更", "次阶段变更"),
    "activity": ("次活动", "次活动"),
    "order": ("笔订单", "笔订单"),
    "rep": ("名销售", "名销售"),
    "record": ("条记录", "条记录"),
    "outcome": ("个结果", "个结果"),
    "customer": ("家客户", "家客户"),
    "day": ("天", "天"),
    "later run": ("次后续运行", "次后续运行"),
    "open lead": ("条未结线索", "条未结线索"),
    "open deal": ("个未结商机", "个未结商机"),
    "scored lead": ("条已评分线索", "条已评分线索"),
    "scored deal": ("个已评分商机", "个已评分商机"),
    "scored account": ("家已评分客户", "家已评分客户"),
}
OUTCOMES: Final = {"lead": "转化", "deal": "赢单", "account": "再次下单"}
EFFICIENCIES: Final = {
    "communication_efficiency": ("沟通", "每沟通小时的积极结果数"),
    "follow_up_efficiency": ("跟进", "每跟进小时的赢单数"),
    "order_efficiency": ("订单", "每处理日完成的订单数"),
}
GROUPINGS: Final = {
    "rep": ("销售", "团队", ""),
    "team": ("团队", "总体", "（按团队）"),
    "deal_type": ("商机类型", "总体", "（按商机类型）"),
    "channel": ("渠道", "总体", "（按渠道）"),
}
COVERAGES: Final = {
    "communication_efficiency": "测得时长的沟通占比",
    "follow_up_efficiency": "测得时长的已结商机占比",
    "order_efficiency": "两个日期齐全的订单占比",
}
NAMES: Final[Mapping[str, str]] = {
    "rising": "上升",
    "falling": "下降",
    "unclear": "不明确",
    "steady": "平稳",
    "new": "新",
    "above": "高于其他",
    "below": "低于其他",
    "forward": "前进",
    "skip": "跳过",
    "back": "退回",
    "end": "结束",
    "awaiting_approval": "等待批准",
    "pending": "待写入",
    "stopped": "已停止",
    "done": "完成",
    "partly": "部分完成",
    "approved": "已批准",
    "expired": "已过期",
    "win_rate": "赢单率",
    "value": "平均金额",
    "days": "赢单天数",
    "growth": "增长",
    "industry": "行业",
    "country": "国家",
    "size": "公司规模",
    "source": "来源",
    "type": "类型",
    "team": "团队",
    "product": "产品",
    "region": "地区",
    "name": "名称",
    "first_name": "名",
    "last_name": "姓",
    "company": "公司",
    "title": "职位",
    "email": "电子邮件",
    "phone": "电话",
    "employees": "员工人数",
    "annual_revenue": "年收入",
    "lead_source": "线索来源",
    "owner_id": "负责人",
    "account_id": "客户",
    "website": "网站",
    "amount": "金额",
    "stage": "阶段",
    "expected_close": "预计结束日期",
    "created_at": "创建日期",
}
SENTENCES: Final[Mapping[str, str] | None] = {
    # -- the page --
    "Sales report": "销售报告",
    "Skip to the report": "跳到报告",
    "As of {moment}": "截至 {moment}",
    "In short": "概要",
    "Records": "记录",
    "Scored": "已评分",
    "open leads, deals and accounts": "未结线索、商机和客户",
    "Expected revenue": "预期收入",
    "chance × amount": "概率 × 金额",
    "Win rate": "赢单率",
    "{won} won, {lost} lost": "赢 {won}，输 {lost}",
    "Would be written": "将写入",
    "Written to the CRM": "已写入 CRM",
    "{n} refused": "{n} 条被拒绝",
    "The changes worth most": "最有价值的改变",
    "to": "至",
    "To keep in mind": "请注意",
    "Where the process hurts": "流程的痛点",
    "Pipeline at risk: deals to look at today": "有风险的商机：今天应关注",
    "The first {n} of {all}, by chance × amount, counted double where a deal is stuck.": (
        "{all}中的前 {n} 个，按概率 × 金额排序，停滞的商机按两倍计算。"
    ),
    "Amounts are compared as they stand, without exchange rates.": "金额按原值比较，不换算汇率。",
    "Amount": "金额",
    "{money} expected": "预期 {money}",
    "Chance": "概率",
    "In this stage": "在此阶段",
    "stuck": "停滞",
    "typical {days}": "通常 {days}",
    "{days} over": "超出 {days}",
    "Leads to call first": "应先联系的线索",
    "The first {n} of {all}, by their chance to convert.": "{all}中的前 {n} 条，按转化概率排序。",
    "It is the same for all, so the newest come first.": "概率都相同，因此最新的排在前面。",
    "created {day}": "创建于 {day}",
    "Forecast": "预测",
    "Each bar goes from P10 to P90, the line in it is P50. A dark dot is what came; an amber diamond lay outside.": (
        "每根柱从 P10 到 P90，其中的线是 P50。深色圆点是实际值；琥珀色菱形表示落在范围之外。"
    ),
    "Efficiency": "效率",
    "Each dot is a rep's rate, the bar its 90 % interval, the dashed line the team's rate. Two reps whose bars overlap can't be told apart.": (
        "圆点是每名销售的比率，横条是 90 % 区间，虚线是团队的比率。横条重叠的两名销售无法区分高下。"
    ),
    "Customers": "客户",
    "{n} customers are expected to order for {money} in the next 12 months.": (
        "预计 {n} 家客户在未来 12 个月下单 {money}。"
    ),
    "Who is slipping away": "正在流失的客户",
    "The first {n} of {all}, by what they spent: quiet for longer than their own rhythm explains.": (
        "{all}中的前 {n} 家，按消费额排序：沉默时间超出其自身节奏。"
    ),
    "Customer": "客户",
    "Orders": "订单",
    "Spent": "消费额",
    "Days since the last order": "距上次下单的天数",
    "Usual days between orders": "通常下单间隔（天）",
    "Expected in 12 months": "12 个月预期",
    "Market": "市场",
    "Data quality, and what it costs": "数据质量及其代价",
    "How the scores spread, and whether they come true": "评分的分布以及是否应验",
    "{objects}: all {n} get the same base rate, so there is nothing to draw.": (
        "{objects}：全部 {n} 条得到相同的基础概率，因此无图可画。"
    ),
    "What the models know": "模型知道什么",
    "provisional": "暂定",
    "Learned from": "学习自",
    "Base rate": "基础概率",
    "Puts the right one first": "排序正确",
    "{share} of the time": "{share} 的情况",
    "a coin: 50 %": "抛硬币：50 %",
    "The best tenth has": "最好的十分之一",
    "{n} × the base rate": "基础概率的 {n} 倍",
    "Off by, on average": "平均偏差",
    "{n} points": "{n} 个百分点",
    "tested on {n}": "在 {n} 条上检验",
    "Model": "模型",
    "Other scores in the CRM, on the same outcomes": "CRM 中其他评分在相同结果上的表现",
    "Outcomes": "结果",
    "Brier score": "Brier 分数",
    "Lift of the best tenth": "最好十分之一的提升",
    "Ahead": "领先",
    "Other scores": "其他评分",
    "Not used, because known only after the outcome": "未使用，因为结果之后才知道",
    "Assumed to have been known in time: {names}. They were first seen after the fact.": (
        "假定当时已知：{names}。它们是事后才首次看到的。"
    ),
    "Excluded in the settings: {names}.": "在设置中排除：{names}。",
    "Used although suspected, by the settings: {names}.": "虽有疑点但按设置使用：{names}。",
    "What was written": "写入了什么",
    "Plan {plan} of {moment}: {planned} planned, {sent} sent, {same} already up to date, {rejected} rejected, {pending} pending.": (
        "计划 {plan}（{moment}）：计划 {planned}，已发送 {sent}，已是最新 {same}，被拒绝 {rejected}，待处理 {pending}。"
    ),
    "{runs} found nothing to write.": "{runs}没有需要写入的内容。",
    "Run {run} took it back.": "运行 {run} 已撤回。",
    "Record": "记录",
    "Id": "编号",
    "Code": "代码",
    "The CRM said": "CRM 的答复",
    "Rejected records": "被拒绝的记录",
    "Nothing has been planned yet.": "尚未制定任何计划。",
    "Data set aside": "搁置的数据",
    "Left out because they did not fit: {records}. Nothing else was.": (
        "因不符合要求而搁置：{records}。此外没有遗漏。"
    ),
    "Where": "位置",
    "Object": "对象",
    "Reason": "原因",
    "Every record that was read could be used.": "读取的每条记录都可使用。",
    "Made by crmbridge.": "由 crmbridge 生成。",
    "Run {run}.": "运行 {run}。",
    "Intervals are 90 %.": "区间均为 90 %。",
    "no score": "无评分",
    "The numbers": "数据",
    "table": "表格",
    "Next": "下一步",
    "Raises it": "提高评分",
    "Lowers it": "降低评分",
    "Grade": "等级",
    "{n} more": "另外 {n} 个",
    "{low} to {high}": "{low} 至 {high}",
    "{value} ({low} to {high})": "{value}（{low} 至 {high}）",
    "90 % interval": "90 % 区间",
    "yes": "是",
    "can't be told": "无法判断",
    "too few known in time so far": "目前及时可知的太少",
    "Of the newest records {observed} came true, {predicted} were predicted from older ones.": (
        "最新记录中 {observed} 应验，按较早记录的预测为 {predicted}。"
    ),
    "They have drifted.": "模型已漂移。",
    "That is within chance.": "属于偶然波动。",
    # -- changes, findings, cautions --
    "Shorten {subject}": "缩短“{subject}”",
    "Answer new leads sooner": "更快回应新线索",
    "a year, at most": "每年，至多",
    "{evidence}": "{evidence}",
    "of expected revenue waits there on an average day": "预期收入平均每天滞留在此",
    "Move the stuck deals, or close them": "推动停滞的商机，或将其关闭",
    "of expected revenue is stuck": "预期收入处于停滞",
    "{deals} stand longer in their stage than three quarters of such deals do.": (
        "{deals}在当前阶段的停留时间超过四分之三的同类商机。"
    ),
    "Start with {deal}.": "从 {deal} 开始。",
    "Win back the customers who slip away": "挽回正在流失的客户",
    "a year is at stake": "每年面临流失",
    "{customers} slip away: at their own rhythm they would order for {usual} in 12 months, now {now} is to be expected.": (
        "{customers}正在流失：按其自身节奏 12 个月会下单 {usual}，现在预期仅 {now}。"
    ),
    "Bring follow-up to the others' rate: {subject}": "让跟进达到他人水平：{subject}",
    "Call the {leads} of grade {grade} first: the chance that they convert is {chance} on average.": (
        "先联系等级 {grade} 的 {leads}：平均转化概率为 {chance}。"
    ),
    "Of all leads {share} did.": "全部线索的转化率为 {share}。",
    "{rep} gets {rate} {unit}, the team {team}: worth finding out what is done differently.": (
        "{rep}：{unit} {rate}，团队为 {team}：值得了解做法有何不同。"
    ),
    "No rep stands out in {unit} (team: {team}): don't rank them on it.": (
        "在{unit}上没有销售突出（团队：{team}）：不要据此排名。"
    ),
    "The CRM refused {n} of {planned}: the reasons are at the end of this page.": (
        "CRM 在 {planned} 条中拒绝了 {n}：原因见本页末尾。"
    ),
    "The scores of {objects} are base rates: on new outcomes their inputs did no better, so one can't be put before another.": (
        "{objects}的评分是基础概率：其输入在新结果上没有更好的表现，因此无法排出先后。"
    ),
    "Nothing was written: {why}.": "没有写入任何内容：{why}。",
    "Set aside because they could not be read: {n}.": "因无法读取而搁置：{n}。",
    "Rep {n}": "销售 {n}",
    "Team {n}": "团队 {n}",
    "Deal {n}": "商机 {n}",
    "Lead {n}": "线索 {n}",
    "Customer {n}": "客户 {n}",
    # -- process --
    "All leads": "全部线索",
    "No stage": "无阶段",
    "Funnel": "漏斗",
    "went on": "前进",
    "still there": "仍在此",
    "went back": "退回",
    "lost": "丢单",
    "{n} · {share} go on": "{n} · {share} 前进",
    "Stage": "阶段",
    "Entered": "进入",
    "Went on": "前进",
    "Still there": "仍在此",
    "Went back": "退回",
    "Lost": "丢单",
    "Go on": "前进率",
    "Typical days": "通常天数",
    "{share} of {n} decided leads converted.": "{n} 条已有结果的线索中 {share} 转化。",
    "{n} deals were won.": "赢单 {n} 个。",
    "Fewest deals go on from {stage}: {share} of the {n} that left it.": (
        "从“{stage}”前进的最少：离开的 {n} 个中 {share} 前进。"
    ),
    "{n} entered {stage}.": "{n} 个进入“{stage}”。",
    "Where deals wait": "商机在哪里等待",
    "The bottleneck is {stage}: {days} days lost ({low} to {high}) in a year, surely more than anywhere else.": (
        "瓶颈是“{stage}”：一年损失 {days} 天（{low} 至 {high}），确定高于其他阶段。"
    ),
    "The bottleneck is {stage}: {days} days lost ({low} to {high}) in a year; other stages come close.": (
        "瓶颈是“{stage}”：一年损失 {days} 天（{low} 至 {high}）；其他阶段与之接近。"
    ),
    "On an average day {money} of expected revenue waits there beyond the stage's own best pace.": (
        "平均每天有 {money} 预期收入超出该阶段自身最快节奏而滞留在此。"
    ),
    "A day is lost where a deal stays longer than the stage's quickest quarter.": (
        "商机停留时间超过该阶段最快四分之一的每一天都算损失。"
    ),
    "Stays": "停留次数",
    "Best days": "最快天数",
    "Days lost": "损失天数",
    "Money delayed": "延迟的金额",
    "Where the money stands": "钱在哪里",
    "{money} is to be expected from the open deals.": "未结商机的预期收入为 {money}。",
    "{money} of it ({share}) sits in {deals} that stand longer in their stage than such deals usually do.": (
        "其中 {money}（{share}）在 {deals}中，它们在当前阶段停留得比同类商机更久。"
    ),
    "moving": "推进中",
    "State": "状态",
    "Deals": "商机",
    "Expected": "预期",
    "The process as it is walked": "实际走过的流程",
    "{n} deals came to {stage}.": "{n} 个商机到过“{stage}”。",
    "Most are won from {stage} ({n}).": "多数从“{stage}”赢单（{n}）。",
    "No deal went back.": "没有商机退回。",
    "Rework: most go back from {start} to {end}, {n} times.": (
        "返工：最多的是从“{start}”退回“{end}”，{n} 次。"
    ),
    "Won": "赢单",
    "bottleneck": "瓶颈",
    "lost: {n}": "丢单：{n}",
    "up to {n} days": "至 {n} 天",
    "to {n}": "至 {n}",
    "more": "更久",
    "{n} days": "{n} 天",
    "{n} came back": "{n} 个退回至此",
    "From": "从",
    "To": "到",
    "Kind": "类别",
    "Moves": "移动次数",
    "Of the moves from there": "占该处移动的比例",
    "Median days before": "此前天数中位数",
    # -- forecast --
    "The months to come": "未来几个月",
    "{month}: {p50} is as likely to be beaten as missed; in 8 of 10 such months between {p10} and {p90}.": (
        "{month}：超过和低于 {p50} 的可能性相同；10 个这样的月份中有 8 个在 {p10} 与 {p90} 之间。"
    ),
    "Of it {won} is won already.": "其中 {won} 已赢单。",
    "Month": "月份",
    "P10": "P10",
    "P50": "P50",
    "P90": "P90",
    "From open deals": "来自未结商机",
    "From new deals": "来自新商机",
    "Past forecasts and what came": "过去的预测与实际",
    "In {hit} of the last {n} months what came lay between P10 and P90; 8 of 10 should.": (
        "最近 {n} 个月中有 {hit} 个月的实际值在 P10 与 P90 之间；应为 10 个中的 8 个。"
    ),
    'The middle was off by {ours} on average; saying "as last month" by {naive}.': (
        "中位预测平均偏差 {ours}；若说“与上月相同”则为 {naive}。"
    ),
    "What came": "实际",
    "The month before": "上个月",
    "Sales velocity": "销售速度",
    "The pipeline brings {now} a day: {n} open deals × {rate} won × {amount} each / {days} days to win. On {then} it was {before}.": (
        "管道每天带来 {now}：{n} 个未结商机 × 赢单率 {rate} × 每个 {amount} ÷ 赢单 {days} 天。{then} 时为 {before}。"
    ),
    "Until": "截至",
    "Open deals": "未结商机",
    "Mean amount": "平均金额",
    "Days to win": "赢单天数",
    "A day": "每天",
    # -- efficiency --
    "{who}: {rate}.": "{who}：{rate}。",
    "Clearly above it: {names}.": "明显高于：{names}。",
    "Clearly below it: {names}.": "明显低于：{names}。",
    "Nobody can be told apart from it.": "没有人与之有明显差别。",
    "None can be told apart from it.": "没有一组与之有明显差别。",
    "Rising since the window before: {names}.": "较前一窗口期上升：{names}。",
    "Falling since the window before: {names}.": "较前一窗口期下降：{names}。",
    "Since the window before": "较前一窗口期",
    "It has gone up.": "有所上升。",
    "It has gone down.": "有所下降。",
    "The two intervals overlap: no change is shown.": "两个区间重叠：看不出变化。",
    "{last_month}: {last} {unit}; {first_month}: {first}.": "{last_month}：{unit} {last}；{first_month}：{first}。",
    "{name} by month": "{name}（按月）",
    # -- customers --
    "Groups of customers": "客户群",
    "{segment}: {share} of the customers, {money} of what was spent.": (
        "{segment}：占客户的 {share}，占消费额的 {money}。"
    ),
    "The largest move of the last {days} days: {n} from {start} to {end}.": (
        "最近 {days} 天最大的移动：{n}从“{start}”到“{end}”。"
    ),
    "of the customers": "占客户",
    "of what was spent": "占消费额",
    "Group": "群组",
    "Share": "占比",
    "Of what was spent": "占消费额",
    "Median days since the last order": "距上次下单天数中位数",
    "Median orders": "订单数中位数",
    # -- market --
    "Win rate by quarter": "各季度赢单率",
    "From {before_quarter} to {quarter} the win rate went from {before} to {after}.": (
        "从 {before_quarter} 到 {quarter}，赢单率由 {before} 变为 {after}。"
    ),
    "Of the {change} points, {mix} come from other deals than before (by {dimension}), {within} from the same deals going otherwise.": (
        "在 {change} 个百分点中，{mix} 来自商机构成的变化（按{dimension}），{within} 来自同类商机结果的变化。"
    ),
    "No two whole quarters can be compared yet.": "还没有两个完整季度可比较。",
    "Quarter": "季度",
    "Closed": "已结",
    "Won value": "赢单金额",
    "Mean value": "平均金额",
    "Median days": "天数中位数",
    "Win rate by part of the market": "各细分市场赢单率",
    "Of {n} comparisons {k} stand out after the correction for looking at many: {names}.": (
        "在 {n} 项比较中，经多重比较校正后有 {k} 项突出：{names}。"
    ),
    "Of {n} comparisons none stands out after the correction for looking at many: no part of the market is shown to be better.": (
        "在 {n} 项比较中，经多重比较校正后无一突出：没有证据表明某部分市场更好。"
    ),
    "{group} ({dimension}, {measure})": "{group}（{dimension}，{measure}）",
    "By": "按",
    "All others": "其他全部",
    "Stands out": "是否突出",
    # -- quality --
    "Filled fields of {objects}": "{objects}的字段填写情况",
    "Quality {score} of 100 on average; {n} records have something to repair, {twins} are probably there twice.": (
        "平均质量 {score}（满分 100）；{n} 条记录有待修正，{twins} 条可能重复。"
    ),
    "Worth filling first: {field}. {n} open records lack it; the score's log-loss could fall by at most {gain} for each ({low} to {high}).": (
        "最值得先补：{field}。{n} 条未结记录缺少它；每条的评分对数损失最多可下降 {gain}（{low} 至 {high}）。"
    ),
    "Field": "字段",
    "Filled": "已填写",
    "Not valid": "无效",
    "Open records without it": "缺少它的未结记录",
    "Gain at most, nats a record": "最大收益（每条，奈特）",
    # -- scores --
    "Scores of {objects}": "{objects}的评分",
    "Of {all}, {parts}.": "{all}中，{parts}。",
    "{n} have grade {grade}": "{n} 条为等级 {grade}",
    "Without a score: {n} more.": "另有 {n} 条无评分。",
    "Score": "评分",
    "Calibration for {objects}": "{objects}的校准",
    "What was said came true, within 90 % intervals, in {hit} of {n} groups of {objects} the model had not seen.": (
        "在模型未见过的 {n} 组{objects}中，有 {hit} 组的预测在 90 % 区间内应验。"
    ),
    "On average they were put {n} points too high.": "平均高估 {n} 个百分点。",
    "On average they were put {n} points too low.": "平均低估 {n} 个百分点。",
    "Chance given": "给出的概率",
    "Came true": "应验比例",
    "Chance the model gave": "模型给出的概率",
}
