"""What was tuned here, read from disk, and as one page that needs nothing else."""

from ssmgen.report.history.data import history_data
from ssmgen.report.history.files import write_file
from ssmgen.report.history.page import render_page
from ssmgen.report.history.progress import steps
from ssmgen.report.history.reading import History, Tuned, read_history
from ssmgen.report.history.studies import importances, write_studies

__all__ = [
    "History",
    "Tuned",
    "history_data",
    "importances",
    "read_history",
    "render_page",
    "steps",
    "write_file",
    "write_studies",
]
