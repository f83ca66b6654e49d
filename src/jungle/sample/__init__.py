"""A rendered data set, so that a first run needs no download: 8 of the competition's classes at 20 sites."""

from jungle.sample.library import ensure_sample

__all__ = ["ensure_sample"]
