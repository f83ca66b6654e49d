"""Label formats: each module reads one kind of table or folder into `Clips`; `find_clips` needs no labels."""

from collections.abc import Callable

from jungle.data.clips import Clips
from jungle.data.formats.camtrap_dp import load_camtrap_dp
from jungle.data.formats.discover import FoundClip, find_clips
from jungle.data.formats.folders import load_folders
from jungle.data.formats.label_source import LabelSource
from jungle.data.formats.labels_csv import load_csv
from jungle.data.formats.megadetector import load_megadetector
from jungle.data.formats.primatrix import load_primatrix, load_primatrix_micro
from jungle.data.formats.renaming import load_renamed
from jungle.data.validation_report import Problems
from jungle.data.video_suffixes import VIDEO_SUFFIXES

__all__ = ["FORMATS", "VIDEO_SUFFIXES", "FoundClip", "LabelSource", "find_clips", "load_labels"]

# The words of `data.format`. The sample is rendered in the format of `primatrix`.
FORMATS: dict[str, Callable[[LabelSource, Problems], Clips]] = {
    "csv": load_csv,
    "folders": load_folders,
    "camtrap_dp": load_camtrap_dp,
    "megadetector": load_megadetector,
    "primatrix": load_primatrix,
    "primatrix_micro": load_primatrix_micro,
    "sample": load_primatrix,
}


def load_labels(name: str, source: LabelSource, problems: Problems | None = None) -> Clips:
    """Read labels in the format `name` of `FORMATS`.

    Args:
        name: csv, folders, camtrap_dp, megadetector, primatrix, primatrix_micro or sample.
        source: the files.
        problems: collects faults of rows, for a caller that reports them with later checks; None raises here.

    Raises:
        UserError: the files cannot be read or used; names file, line and fix.
    """
    found = Problems() if problems is None else problems
    read = FORMATS[name]
    clips = read(source, found) if source.rename is None else load_renamed(read, source, found)
    if problems is None:
        found.raise_if_any(", ".join(map(str, source.tables or source.roots)))
    return clips
