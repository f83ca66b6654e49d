"""Label formats as tests call them: the files by name, everything wrong raised at once."""

from pathlib import Path

from jungle.data.clips import Clips
from jungle.data.formats import LabelSource, load_labels
from jungle.data.validation_report import Problems


def load_csv(labels, root=None, problems: Problems | None = None, **settings) -> Clips:
    return load_labels("csv", _source(root, labels=Path(labels), **settings), problems)


def load_folders(root, problems: Problems | None = None, **settings) -> Clips:
    return load_labels("folders", _source(root, **settings), problems)


def load_primatrix(root, **settings) -> Clips:
    return load_labels("primatrix", _source(root, **settings))


def load_primatrix_micro(root, **settings) -> Clips:
    return load_labels("primatrix_micro", _source(root, **settings))


def _source(root, **settings) -> LabelSource:
    return LabelSource(root=None if root is None else Path(root), **settings)
