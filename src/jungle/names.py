"""Names of classes and clips: which are allowed, and how other people's text is shown safely.

A class is a column of tables, a word in logs and pages, a key of scores. So one rule holds wherever a class
comes from: labels, folders, settings, templates, tables of predictions, checkpoints.
"""

import contextlib
from collections.abc import Iterable

from jungle.errors import UserError

# Columns of the clips table, of the predictions tables, and of what the program keeps of them on its way.
COLUMNS = (
    *("clip", "path", "split", "site", "time", "weight"),
    *("status", "reason", "times", "attention", "top_class", "top_probability"),
    *("key", "duration", "decision"),
)
MOST = 200  # letters of a class's name
_JOINERS = "\u200c\u200d"  # within a word they are spelling, in Persian and in the scripts of India


def find_class_fault(name: object) -> str | None:
    """Return why a name cannot be that of a class, as in `... is empty`; None where it can."""
    if not isinstance(name, str):
        return f"is {type(name).__name__}, not text"
    if not name.strip():
        return "is empty"
    if len(name) > MOST:
        return f"has {len(name):,} letters; at most {MOST} are allowed"
    if name != name.strip():
        return "begins or ends with a blank"
    hidden = "" if name.isprintable() else [c for i, c in enumerate(name) if not _is_readable(name, i)]
    if hidden:
        return f"holds a letter that cannot be seen (U+{ord(hidden[0]):04X})"
    if name in COLUMNS:
        return "is a column of the program's own tables"
    return None


def check_class_names(names: Iterable[object], fix: str = "Rename it.") -> None:
    """Refuse names that a class cannot have, all in one message.

    Raises:
        UserError: with the first five, what is wrong with each, and `fix`.
    """
    wrong = [(name, fault) for name in names if (fault := find_class_fault(name))]
    if wrong:
        first = "; ".join(f"'{show(name, 60)}': it {fault}" for name, fault in wrong[:5])
        more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise UserError(f"a class cannot be named {first}{more}. {fix}")


def show(value: object, most: int = 120) -> str:
    """Return `value` as one line with control characters escaped, so that it cannot steer a terminal."""
    text = escape(str(value)[: most + 1])
    return text if len(text) <= most else text[: most - 3] + "..."


def escape(text: str, kept: str = "") -> str:
    r"""Return `text` with invisible characters escaped (`\n`, `\x1b`, `\u202e`), except those of `kept`."""
    if text.isprintable():
        return text
    with contextlib.suppress(UnicodeEncodeError):  # bytes of a file's name
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(
        c if c.isprintable() or c in kept or _is_readable(text, i) else c.encode("unicode_escape").decode()
        for i, c in enumerate(text)
    )


def _is_readable(text: str, i: int) -> bool:
    """Tell whether a character is visible, or joins two that are."""
    if text[i].isprintable():
        return True
    inside = text[i] in _JOINERS and 0 < i < len(text) - 1
    return inside and text[i - 1].isprintable() and not text[i - 1].isascii()
