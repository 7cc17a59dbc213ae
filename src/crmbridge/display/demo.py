"""The page at the end of `crmbridge demo`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.markup import escape
from rich.text import Text

from crmbridge.display.runs import total

if TYPE_CHECKING:
    # The sample's generator is slow to import, and every command shows something.
    from crmbridge.demo.run import DemoResult


def demo(result: DemoResult) -> RenderableType:
    """What the demo did, and what to try next."""
    first, second = result.first.summary, result.second.summary
    folder = result.directory
    read = f"[bold]{total(first, 'pulled'):,} records[/] read, {total(first, 'set_aside')} rows set aside"
    scored = f"[bold]{total(first, 'scored'):,} scored[/], {total(first, 'sent'):,} written and read back"
    lines = [
        f"{read} with their reason, {scored}, in {first.get('seconds', 0):.0f} s.",
        f"A second run wrote [bold]{total(second, 'sent'):,} rows[/]: nothing had changed.",
        "",
    ]
    lead = result.lead
    if lead is not None and lead.score is not None:
        lines.append(
            f"The best open lead is {escape(lead.name or lead.id)}: [bold]{lead.score:.0f} %[/] "
            f"(90 % interval {lead.score_low:.0f} to {lead.score_high:.0f})."
        )
        lines += [f"  + {escape(lead.reasons_up)}"] if lead.reasons_up else []
        lines += [f"  - {escape(lead.reasons_down)}"] if lead.reasons_down else []
        lines.append("")
    lines += [
        f"Open the report: [bold]{escape(str(result.report.resolve()))}[/]",
        f"The scores lie in {escape(str(folder / 'crm' / 'scores'))}.",
        "",
        "Try next:",
        f"  cd {escape(str(folder))}",
        f"  crmbridge run {result.first.id}            what was set aside, and why",
        "  crmbridge model demo lead  what the model knows, and what it may not use",
        f"  crmbridge undo {result.first.id}           take every value back",
    ]
    return Text.from_markup("\n".join(lines))
