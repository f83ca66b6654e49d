"""Errors that a user can cause: one line that names what, where and the fix."""

import difflib
import signal
from collections.abc import Iterable


class UserError(Exception):
    """Something a user can fix: printed as one line, no traceback; the process exits with `exit_code`."""

    exit_code = 1


class UsageError(UserError):
    """A wrong command line or configuration: exit code 2."""

    exit_code = 2


class SomeFailed(UserError):
    """The work is done and its files are written, but some clips could not be read: exit code 3."""

    exit_code = 3


class Stopped(BaseException):
    """The process was told to stop (SIGTERM, Ctrl-C) and does so; no error, so nothing catches it as one."""

    def __init__(self, number: int, where: str = "") -> None:
        self.exit_code = 128 + number
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        super().__init__(
            f"stopped by {name}{', ' + where if where else ''}: the same command resumes from here"
        )


def find_stop(error: BaseException) -> Stopped | KeyboardInterrupt | None:
    """Return the signal that stopped the command, where an error was raised because of it.

    A library that is interrupted may fail while it cleans up; users need not see that.
    """
    at: BaseException | None = error
    seen: set[int] = set()
    while at is not None and id(at) not in seen:
        if isinstance(at, (Stopped, KeyboardInterrupt)):
            return at
        seen.add(id(at))
        at = at.__cause__ or at.__context__
    return None


def shorten_error(error: BaseException, most: int | None = None, lines: int = 1) -> str:
    """Return what an error says, as one line; its kind where it says nothing.

    Args:
        error: of a library, whose text may have many lines, and empty ones first.
        most: letters that are kept; None keeps all.
        lines: how many of its lines are put behind each other.
    """
    said = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(said[:lines])[:most] or type(error).__name__


def suggest(word: str, choices: Iterable[object], n: int = 3) -> str:
    """Return ` Nearest: a, b.` for the valid names closest to `word`, or all of them where few exist."""
    names = sorted(str(c) for c in choices)
    close = difflib.get_close_matches(word, names, n=n, cutoff=0.5)
    if close:
        return f" Nearest: {', '.join(close)}."
    if len(names) <= 12:
        return f" Valid: {', '.join(names)}."
    return f" There are {len(names)} valid names, among them {', '.join(names[:8])}."
