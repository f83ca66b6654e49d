"""Time of recording of a clip: from its container, else its name, else its file if requested."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from jungle.errors import UsageError

# 2017-11-24, 20171124, 2017_11_24 14-05-33, IMG_20171124_140533 and the like.
NAME_PATTERN = (
    r"(?<!\d)(?P<year>(?:19|20)\d\d)[-_.]?(?P<month>[01]\d)[-_.]?(?P<day>[0-3]\d)"
    r"(?:[-_ T.]{0,2}(?P<hour>[0-2]\d)[-_.:h]?(?P<minute>[0-5]\d)(?:[-_.:m]?(?P<second>[0-5]\d))?)?(?!\d)"
)
FIELDS = ("year", "month", "day", "hour", "minute", "second")
FIRST_YEAR = 1996  # no camera trap wrote digital video before; clocks that lost power say 1904 or 1970


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a name pattern.

    Raises:
        UsageError: it is not a regular expression, or lacks the groups year, month and day.
    """
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"name_pattern: not a regular expression ({error}).") from None
    lacking = {"year", "month", "day"} - set(found.groupindex)
    if lacking:
        raise UsageError(
            f"name_pattern: lacks the named groups {', '.join(sorted(lacking))}, as in (?P<year>...)."
        )
    return found


def find_recording_time(
    created: str, name: str, pattern: re.Pattern[str], mtime_ns: int | None = None
) -> tuple[datetime | None, str]:
    """Return the time of recording and its source: `container`, `name`, `file` or an empty text.

    The time is that of the camera's clock, without a zone: cameras write local time and call it UTC.

    Args:
        created: the container's own text; empty if it has none.
        name: of the file.
        pattern: with groups year, month, day and optionally hour, minute, second.
        mtime_ns: the file's modification time, often that of a copy, as a last resort; None to ignore it.
    """
    found = _parse(created)
    if found is not None:
        return found, "container"
    for match in pattern.finditer(name):
        parts = match.groupdict()
        year, month, day, hour, minute, second = (int(parts.get(name) or 0) for name in FIELDS)
        try:
            found = datetime(year, month, day, hour, minute, second)
        except ValueError:
            continue
        if found.year >= FIRST_YEAR:
            return found, "name"
    if mtime_ns is not None:
        # In UTC, so that the index does not depend on the zone of the machine.
        return datetime.fromtimestamp(mtime_ns // 10**9, UTC).replace(tzinfo=None), "file"
    return None, ""


def _parse(text: str) -> datetime | None:
    text = text.strip()
    for form in (None, "%a %b %d %H:%M:%S %Y", "%Y:%m:%d %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%Y-%m-%d %H:%M:%S"):
        try:
            found = datetime.fromisoformat(text) if form is None else datetime.strptime(text, form)
        except ValueError:
            continue
        return found.replace(tzinfo=None, microsecond=0) if found.year >= FIRST_YEAR else None
    return None
