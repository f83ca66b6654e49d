"""Times of clips: text becomes datetimes where it can mean one time only, and stays text elsewhere."""

import polars as pl

from jungle.console import log
from jungle.data.formats.columns import drop_missing
from jungle.data.table_io import Table
from jungle.names import show

# Year first, or a point between day and month, or a month in letters: these are read in one way everywhere.
CLEAR = (
    *(f"{date}{hours}" for date in ("%Y-%m-%d", "%Y/%m/%d") for hours in (" %H:%M:%S%.f", " %H:%M")),
    *("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y:%m:%d %H:%M:%S", "%Y%m%d_%H%M%S"),
    *("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M"),
    *(f"{date} %H:%M{seconds}" for date in ("%d-%b-%Y", "%d %b %Y") for seconds in (":%S", "")),
    *("%Y-%m-%d %I:%M:%S %p", "%d-%b-%Y %I:%M:%S %p"),
)
# Only days above 12 say which of day and month comes first.
UNCLEAR = {
    order: tuple(
        f"{date}{between}%Y {hours}"
        for date, between in ((order, "/"), (order.replace("/", "-"), "-"))
        for hours in ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p")
    )
    for order in ("%d/%m", "%m/%d")
}
OLDEST = 1900  # years before are two digits of one
NEVER = frozenset(["0000-00-00", "0000-00-00 00:00:00", "0000:00:00 00:00:00", "00:00:00 00:00:00"])
"""What databases and cameras write where they know no time."""


def read_times(text: pl.Series) -> pl.Series:
    """Read times as datetimes if each can mean one time only; else leave them as text.

    Nothing is converted: a time with a zone stays text.
    """
    if text.dtype != pl.String:
        return text
    best = _parse_times(text, CLEAR)
    if _is_whole(best, text):
        return best.alias(text.name)
    orders = [_parse_times(text, (*CLEAR, *patterns)) for patterns in UNCLEAR.values()]
    whole = [values for values in orders if _is_whole(values, text)]
    if whole and all(values.equals(whole[0]) for values in whole[1:]):
        return whole[0].alias(text.name)
    return text


def is_sortable(times: pl.Series) -> bool:
    """Return whether sorting puts times in order: datetimes, or text of one zone and length."""
    if times.dtype != pl.String or times.null_count() == len(times):
        return True
    known = times.drop_nulls()
    zoned = known.str.extract(r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:?\d\d)$")
    one_length = known.str.len_chars().n_unique() == 1
    return zoned.null_count() == 0 and zoned.n_unique() == 1 and one_length


def read_time_column(table: Table, column: str) -> pl.Series:
    """Read the column of times; log if they stay text, or if the days say which of day and month is first."""
    text = drop_missing(table, column, NEVER).alias("time")
    values = read_times(text)
    named = f"{table.path}: column {show(column, 40)!r}"
    if values.dtype == pl.String:
        if is_sortable(values):
            return values
        row = _find_unread(text)
        log.warning(
            f"{named}: times are kept as text, since {show(text[row], 40)!r} ({table.place(row)}) may be "
            "read in several ways or is not a time: write 2021-03-31 14:05:00 where their order matters"
        )
    elif not _is_whole(_parse_times(text, CLEAR), text):
        row = int((values.dt.day() > 12).fill_null(False).arg_max() or 0)
        log.info(
            f"{named}: {show(text[row], 40)!r} ({table.place(row)}) is read as {values[row]}, and "
            "the others likewise"
        )
    return values


def _parse_times(text: pl.Series, patterns: tuple[str, ...]) -> pl.Series:
    """Parse datetimes by the first pattern that fits each text; null where none does."""
    found = pl.Series([None] * len(text), dtype=pl.Datetime("us"))
    for pattern in patterns:
        if _is_whole(found, text):
            break
        values = text.str.to_datetime(pattern, strict=False, time_unit="us")
        values = pl.select(pl.when(values.dt.year() >= OLDEST).then(values)).to_series()  # `21` is no year
        found = pl.select(pl.coalesce(found, values)).to_series()
    return found


def _is_whole(values: pl.Series, text: pl.Series) -> bool:
    return values.null_count() == text.null_count()


def _find_unread(text: pl.Series) -> int:
    """Find the first row that no clear pattern reads; row 0 where rows contradict each other."""
    unread = text.is_not_null() & _parse_times(text, CLEAR).is_null()
    return int(unread.arg_max() or 0)
