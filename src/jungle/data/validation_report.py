"""Problems of a user's data, collected so that one message reports them all."""

from collections.abc import Iterable, Mapping
from itertools import islice

import polars as pl

from jungle.errors import UserError
from jungle.names import show
from jungle.wording import tally

EXAMPLES = 5


def format_lines(lines: Iterable[int], total: int | None = None, most: int = 3) -> str:
    """Format `line 3`, `lines 3 and 7` or `lines 3, 7, 9 and 4 more`; `lines` may be the first of a total."""
    every = sorted(lines)
    rest = max(len(every) if total is None else total, len(every)) - len(every[:most])
    first = [str(n) for n in every[:most]] + ([f"{rest} more"] if rest else [])
    if len(first) == 1:
        return f"line {first[0]}"
    return f"lines {', '.join(first[:-1])} and {first[-1]}"


def list_some(values: Iterable[object], most: int = EXAMPLES) -> str:
    """List the first few values, each on one safe line; `, ...` follows where there are more."""
    first = list(islice(iter(values), most + 1))
    return ", ".join(show(v, 40) for v in first[:most]) + ", ..." * (len(first) > most)


class Problems:
    """Kinds of problems, each with its count, examples and fix; `raise_if_any` reports them in one error."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.labels_unread = False
        """Whether some labels could not be read, so that their absence is not reported too."""
        self._rows: pl.DataFrame | None = None
        self._classes: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.kinds)

    def absorb(self, other: "Problems", where: str) -> None:
        """Take the problems and the places of one file of several, each with the file's name."""
        self.kinds += [f"{show(where)}: {kind}" for kind in other.kinds]
        self.labels_unread |= other.labels_unread
        if other._rows is not None:
            self._add_rows(other._rows.with_columns(table=pl.lit(show(where))))
        self._classes = {
            name: f"{show(where)}, {place}" for name, place in other._classes.items()
        } | self._classes

    def know(self, rows: pl.DataFrame, classes: Mapping[str, str]) -> None:
        """Note where clips and classes stand, for the messages of later checks.

        Args:
            rows: `clip` and `line`, one row for each line that names a clip.
            classes: where each class is first met, as `line 3` or `column 5`.
        """
        self._add_rows(rows.select("clip", "line", table=pl.lit("")))
        self._classes |= classes

    def _add_rows(self, rows: pl.DataFrame) -> None:
        self._rows = rows if self._rows is None else pl.concat([self._rows, rows], how="vertical_relaxed")

    def place(self, clip: str) -> str:
        """Return where a clip is named, as `line 3` or `old.csv, line 3`; empty where that is unknown."""
        if self._rows is None:
            return ""
        named = self._rows.filter(pl.col("clip") == clip).group_by("table", maintain_order=True).agg("line")
        return "; ".join(f"{table}{', ' * bool(table)}{format_lines(at)}" for table, at in named.iter_rows())

    def at(self, clip: str, name: str | None = None) -> str:
        """Return a clip (called `name`) with its place: `a.mp4 (line 3)`."""
        place = self.place(clip)
        return f"{name or clip} ({place})" if place else name or clip

    def has_class(self, name: str) -> bool:
        """Return whether a class was met where `know` was told of."""
        return name in self._classes

    def class_at(self, name: str) -> str:
        """Return a class with its place: `lion (line 3)`."""
        return f"{show(name)} ({self._classes[name]})" if name in self._classes else show(name)

    def add(
        self,
        what: str,
        examples: Iterable[object],
        fix: str,
        count: int | None = None,
        complete: bool = False,
    ) -> None:
        """Add one kind; nothing where there is no example.

        Args:
            what: what is wrong, read after the count, as in `clips are not on disk`.
            examples: the offending things; the first five are shown.
            fix: what the user can do or type.
            count: how many there are, where `examples` holds only the first of them.
            complete: whether `examples` represent all of them.
        """
        if count is None:
            examples = list(examples)
            count = len(examples)
        if not count:
            return
        first = [show(e) for e in islice(examples, EXAMPLES)]
        more = ", ..." if count > len(first) and not complete else ""
        listed = f": {', '.join(first)}{more}" if first else ""
        self.kinds.append(f"{tally(count, what)}{listed}. {fix}")

    def say(self, kind: str) -> None:
        """Add a problem that is not a count of things."""
        self.kinds.append(kind)

    def raise_if_any(self, where: object) -> None:
        """Raise all that was gathered about `where`.

        Raises:
            UserError: there is a problem.
        """
        if len(self.kinds) == 1:
            raise UserError(f"{show(where)}: {self.kinds[0]}")
        if self.kinds:
            lines = "".join(f"\n  - {kind}" for kind in self.kinds)
            raise UserError(f"{show(where)}: {len(self.kinds)} kinds of problems:{lines}")
