"""The source of a training run's labels, as every label format takes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jungle.data.paths import explain_windows, make_absolute
from jungle.data.validation_report import Problems
from jungle.errors import UsageError
from jungle.files import describe_absent


@dataclass(frozen=True, kw_only=True)
class LabelSource:
    """Files and columns that hold labels: a format takes what it needs, and the config refuses the rest."""

    root: Path | None = None
    """The folder of the clips."""
    labels: Path | None = None
    template: Path | None = None
    """A submission format: its clips are the test clips."""
    test_labels: Path | None = None
    sites: Path | None = None
    """A table `filename,site[,split,time]`."""
    classes: Sequence[str] | None = None
    filepath_column: str | None = None
    label_column: str | None = None

    def folder(self) -> Path:
        """Return `root`.

        Raises:
            UsageError: it is missing.
        """
        if self.root is None:
            raise UsageError("data.root is missing: give data.root=<folder of the clips>")
        return self.root

    def report_absent_root(self, problems: Problems) -> None:
        """Add a root that is not there to `problems`."""
        if self.root is not None and not (folder := make_absolute(self.root)).is_dir():
            hint = explain_windows(str(self.root))
            problems.say(f"data.root={self.root}: {describe_absent(folder, 'folder')}{hint}")
