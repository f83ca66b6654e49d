"""Label formats: each module reads one kind of table or folder into `Clips`; `find_clips` needs no labels."""

from jungle.data.formats.discover import FoundClip, find_clips
from jungle.data.formats.folders import load_folders
from jungle.data.formats.labels_csv import load_csv
from jungle.data.formats.primatrix import load_primatrix, load_primatrix_micro
from jungle.data.formats.sites import join_sites
from jungle.data.video_suffixes import VIDEO_SUFFIXES

__all__ = [
    "VIDEO_SUFFIXES",
    "FoundClip",
    "find_clips",
    "join_sites",
    "load_csv",
    "load_folders",
    "load_primatrix",
    "load_primatrix_micro",
]
