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


def counted(count: int, what: str) -> str:
    """`count` things in words: `counted(1, "clips are not on disk")` is `1 clip is not on disk`.

    The first word is the thing, in the plural; its verb, if any, is the first one that follows.
    """
    if count != 1:
        return f"{count} {what}"
    thing, *words = what.split(" ")
    verb = next((i for i, word in enumerate(words) if word in VERBS), None)
    if verb is not None:
        words[verb] = VERBS[words[verb]]
    return " ".join(["1", THINGS.get(thing, thing.removesuffix("s")), *words])


def some(count: int, total: int, what: str) -> str:
    """`count` of several things in words: `some(1, 16, "frames are damaged")` is `1 of 16 frames is damaged`.

    The first word is the things, in the plural; its verb is the first one that follows.
    """
    words = what.split(" ")
    if count == 1:
        verb = next((i for i, word in enumerate(words) if word in VERBS), None)
        if verb is not None:
            words[verb] = VERBS[words[verb]]
        if total == 1:
            words[0] = THINGS.get(words[0], words[0].removesuffix("s"))
    return " ".join([f"{count} of {total}", *words])
