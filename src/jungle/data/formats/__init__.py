"""Label formats: each module reads one kind of table or folder into `Clips`; `find_clips` needs no labels."""

from collections.abc import Callable

from jungle.data.clips import Clips
from jungle.data.formats.discover import FoundClip, find_clips
from jungle.data.formats.folders import load_folder_source, load_folders
from jungle.data.formats.label_source import LabelSource
from jungle.data.formats.labels_csv import load_csv, load_csv_source
from jungle.data.formats.primatrix import (
    load_micro_source,
    load_primatrix,
    load_primatrix_micro,
    load_primatrix_source,
)
from jungle.data.formats.sites import join_sites
from jungle.data.validation_report import Problems
from jungle.data.video_suffixes import VIDEO_SUFFIXES

__all__ = [
    "FORMATS",
    "VIDEO_SUFFIXES",
    "FoundClip",
    "LabelSource",
    "find_clips",
    "join_sites",
    "load_csv",
    "load_folders",
    "load_primatrix",
    "load_primatrix_micro",
]

# The words of `data.format`. The sample is rendered in the format of `primatrix`.
FORMATS: dict[str, Callable[[LabelSource, Problems], Clips]] = {
    "csv": load_csv_source,
    "folders": load_folder_source,
    "primatrix": load_primatrix_source,
    "primatrix_micro": load_micro_source,
    "sample": load_primatrix_source,
}
