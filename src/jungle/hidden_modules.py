"""Imports without what nobody here uses."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Within the block, a module of these names that is not loaded yet seems not to be installed.

    For libraries that import a large one, if it is there, to offer something that nobody here uses.
    """
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: not installed
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
