"""Pages about runs, made from the files in their workdirs."""

from mukoe.observability.report.page import make_page
from mukoe.observability.report.results import make_results
from mukoe.observability.report.runs import Run, find_workdirs, load_run

__all__ = ["Run", "find_workdirs", "load_run", "make_page", "make_results"]
