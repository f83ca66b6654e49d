"""What is wrong with a user's data, gathered, so that all of it is said at once."""

from collections.abc import Iterable
from itertools import islice

from jungle.errors import UserError
from jungle.names import shown

__all__ = ["EXAMPLES", "Problems", "shown"]
EXAMPLES = 5


class Problems:
    """Kinds of problems, each with its count, examples and fix. `raise_if_any` says them all in one error."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def __len__(self) -> int:
        return len(self.kinds)

    def add(self, what: str, examples: Iterable[object], fix: str, count: int | None = None) -> None:
        """Add one kind; nothing where there is no example.

        Args:
            what: what is wrong, read after the count, as in `clips are not on disk`.
            examples: the offending things; the first five are shown.
            fix: what the user can do or type.
            count: how many there are, where `examples` holds only the first of them.
        """
        if count is None:
            examples = list(examples)
            count = len(examples)
        if not count:
            return
        first = [shown(e) for e in islice(examples, EXAMPLES)]
        more = ", ..." if count > len(first) else ""
        listed = f": {', '.join(first)}{more}" if first else ""
        self.kinds.append(f"{count} {what}{listed}. {fix}")

    def say(self, kind: str) -> None:
        """Add a problem that is not a count of things."""
        self.kinds.append(kind)

    def raise_if_any(self, where: object) -> None:
        """Raise all that was gathered about `where`.

        Raises:
            UserError: there is a problem.
        """
        if len(self.kinds) == 1:
            raise UserError(f"{shown(where)}: {self.kinds[0]}")
        if self.kinds:
            lines = "".join(f"\n  - {kind}" for kind in self.kinds)
            raise UserError(f"{shown(where)}: {len(self.kinds)} kinds of problems:{lines}")
