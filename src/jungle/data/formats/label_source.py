"""The source of a training run's labels, as every label format takes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jungle.data.paths import explain_windows, make_absolute
from jungle.data.validation_report import Problems
from jungle.errors import UsageError
from jungle.files import describe_absent


@dataclass(frozen=True, kw_only=True)
class LabelSource:
    """Files and columns that hold labels: a format takes what it needs, and the config refuses the rest."""

    root: Path | Sequence[Path] | None = None
    """The folder of the clips, or several."""
    labels: Path | Sequence[Path] | None = None
    """The table of labels, or several: of a clip in several, the last that answers counts."""
    template: Path | None = None
    """A submission format: its clips are the test clips."""
    test_labels: Path | None = None
    sites: Path | None = None
    """A table `filename,site[,split,time]`."""
    classes: Sequence[str] | None = None
    optional: frozenset[str] = frozenset()
    """Those of `classes` that no table need have a column for."""
    filepath_column: str | None = None
    label_column: str | None = None
    rename: Mapping[str, str] | Path | None = None
    """New names of classes by their old ones, or the table with them."""
    min_confidence: float | None = None
    """Confidence from which a detection or a classification counts; None takes the file's own."""
    timezone: str | None = None
    """Time zone of the cameras' clocks; None takes times as they are written."""

    @property
    def roots(self) -> list[Path]:
        """Folders of the clips, absolute, in the order given."""
        return [make_absolute(path) for path in _list_paths(self.root)]

    @property
    def tables(self) -> list[Path]:
        """Files of labels, absolute, in the order given."""
        return [make_absolute(path) for path in _list_paths(self.labels)]

    def folders(self) -> list[Path]:
        """Return `roots`.

        Raises:
            UsageError: there is none.
        """
        if not self.roots:
            raise UsageError("data.root is missing: give data.root=<folder of the clips>")
        return self.roots

    def folder(self) -> Path:
        """Return the one root.

        Raises:
            UsageError: it is missing, or there are several.
        """
        first, *others = self.folders()
        if others:
            raise UsageError(
                f"data.root names {1 + len(others)} folders, and this format reads one: name one"
            )
        return first

    def report_absent_root(self, problems: Problems) -> None:
        """Add each root that is not there to `problems`."""
        for given, folder in zip(_list_paths(self.root), self.roots, strict=True):
            if not folder.is_dir():
                hint = explain_windows(str(given))
                problems.say(f"data.root={given}: {describe_absent(folder, 'folder')}{hint}")


def _list_paths(value: Path | Sequence[Path] | None) -> list[Path]:
    """Return the paths of a setting; a text is one path, though it is a sequence too."""
    return (
        [] if value is None else [Path(value)] if isinstance(value, (str, Path)) else list(map(Path, value))
    )
