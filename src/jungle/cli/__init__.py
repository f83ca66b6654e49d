"""From a command line to one command and its exit code: start reading at `entry.py`."""

from jungle.cli.entry import main

__all__ = ["main"]
