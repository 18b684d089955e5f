"""The HTML report: figures of a run, or of two side by side, as one page and as files."""

from detection.report.files import check_target, write_report
from detection.report.records import Comparison, ReportRun, ReportSettings

__all__ = ["Comparison", "ReportRun", "ReportSettings", "check_target", "write_report"]
