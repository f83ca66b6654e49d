"""What a check found: one row of the table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """What one check found."""

    check: str
    state: str
    """`good`, `warning` or `bad`."""
    found: str
    fix: str = ""


def good(check: str, found: str) -> Row:
    """All is well."""
    return Row(check, "good", found)


def warning(check: str, found: str, fix: str) -> Row:
    """It works, with something less."""
    return Row(check, "warning", found, fix)


def bad(check: str, found: str, fix: str) -> Row:
    """Something that a run needs is broken."""
    return Row(check, "bad", found, fix)
