"""Standard streams that may be closed, not UTF-8, full, or a pipe that nobody reads."""

import contextlib
import fcntl
import os
import sys

NUMBERS = {"stdin": 0, "stdout": 1, "stderr": 2}


def prepare() -> None:
    """Open closed streams on nothing, and escape characters that a stream cannot encode.

    Else the first files and sockets that are opened would get the streams' numbers, and what is written to
    the streams would go there.
    """
    for number in NUMBERS.values():
        if not is_open(number):
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)  # processes that are started have them too
    for name in NUMBERS:
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8", errors="backslashreplace"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]  # it has it


def say(text: str, error: bool = False) -> None:
    """Write a line to stdout or stderr; do nothing where nobody reads it.

    Raises:
        OSError: the file or disk that stdout leads to cannot take it.
    """
    stream = sys.stderr if error else sys.stdout
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        silence(stream)
    except OSError:
        silence(stream)
        if not error:  # a result is lost; what was to be said of an error, nobody can be told
            raise


def finish() -> None:
    """Flush the streams, so that the end of the process raises nothing."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            silence(stream)


def silence(stream: object) -> None:
    """Discard what is still written to a stream."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        number = stream.fileno()  # type: ignore[attr-defined]  # a stream in a test has none
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, number)
        os.close(nothing)


def move_above_streams(number: int) -> int:
    """Return the number of an open file where it is none of the streams', else another one of the same file.

    The one given is closed then.
    """
    if number > max(NUMBERS.values()):
        return number

    moved = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, max(NUMBERS.values()) + 1)
    os.close(number)
    return moved


def is_open(number: int) -> bool:
    """Tell whether a stream's number is open."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
