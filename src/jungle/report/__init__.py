"""Pictures and pages: what a training or prediction run did, as one HTML file."""

from jungle.report.page import write_report

__all__ = ["write_report"]
