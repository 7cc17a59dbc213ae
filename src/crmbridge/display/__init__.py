"""How the command line shows things: tables and lines for people, plain data for `--json`."""

from crmbridge.display.demo import demo
from crmbridge.display.plans import Approval, kept, plan, verification, write_plan_json
from crmbridge.display.progress import Progress, TerminalProgress
from crmbridge.display.runs import forecasts, run_details, run_dict, run_line, run_page, runs
from crmbridge.display.setup import checks, model_dicts, models, plugins, steps
from crmbridge.display.tables import plain

__all__ = [
    "Approval",
    "Progress",
    "TerminalProgress",
    "checks",
    "demo",
    "forecasts",
    "kept",
    "model_dicts",
    "models",
    "plain",
    "plan",
    "plugins",
    "run_details",
    "run_dict",
    "run_line",
    "run_page",
    "runs",
    "steps",
    "verification",
    "write_plan_json",
]
