"""A rendered data set: 8 of the competition's classes before 20 drawn cameras, so that a first run needs no download."""

from jungle.data.sample.library import ensure_sample

__all__ = ["ensure_sample"]
