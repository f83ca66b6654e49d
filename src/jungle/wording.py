"""Numbers of things in words, in the singular and the plural."""

THINGS = {"classes": "class", "processes": "process"}
"""Plurals that are more than the word with an s."""
VERBS = {
    **{"are": "is", "have": "has", "lie": "lies", "give": "gives", "hold": "holds", "lead": "leads"},
    **{"name": "names", "look": "looks", "mean": "means", "fit": "fits", "begin": "begins"},
    **{"differ": "differs", "were": "was", "take": "takes", "miss": "misses"},
}
"""Verbs of several things, and of one."""


def count(n: int, what: str, many: str = "") -> str:
    """Return `1 clip`, `3 clips`: a number with its noun; `many` where its plural has no -s of its own.

    >>> count(1, "class"), count(2, "class"), count(0, "copy", "copies")
    ('1 class', '2 classes', '0 copies')
    """
    ending = "es" if what.endswith(("s", "x", "ch", "sh")) else "s"
    return f"{n} {what if n == 1 else many or what + ending}"


def tally(count: int, what: str) -> str:
    """`count` things in words: `counted(1, "clips are not on disk")` is `1 clip is not on disk`.

    The first word is the thing, in the plural; its verb, if any, is the first one that follows.
    """
    return f"{count} {_agree(what, things=count, doing=count)}"


def tally_part(count: int, total: int, what: str) -> str:
    """`count` of several things in words: `some(1, 16, "frames are damaged")` is `1 of 16 frames is damaged`.

    The first word is the things, in the plural; its verb is the first one that follows.
    """
    return f"{count} of {total} {_agree(what, things=total, doing=count)}"


def format_seconds(seconds: float) -> str:
    """Return a duration in the unit that fits it: `42 seconds`, `12 minutes`, `3.5 hours`."""
    if seconds < 90:
        return count(round(seconds), "second")
    return count(round(seconds / 60), "minute") if seconds < 90 * 60 else f"{seconds / 3600:,.1f} hours"


def _agree(what: str, things: int, doing: int) -> str:
    """Return words with noun and verb in the right number."""
    thing, *words = what.split(" ")
    verb = next((i for i, word in enumerate(words) if word in VERBS), None)
    if doing == 1 and verb is not None:
        words[verb] = VERBS[words[verb]]
    return " ".join([THINGS.get(thing, thing.removesuffix("s")) if things == 1 else thing, *words])
