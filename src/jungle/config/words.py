"""Words of a command line, `key=value`: the user's text becomes Hydra's text.

Hydra reads `2021` as a number, `true` as a switch, a comma as a sweep, and `é` or `(` in a list as an error.
Where a setting takes text, a path or a list of them, its value is what was typed. A value in quotes has the
form of Hydra, in which `${...}` is looked up and a quote stands behind a backslash; what this module writes
is such, so that it can be read again (by trials of a sweep, other processes of a run) and stays what it is.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from antlr4 import CommonTokenStream, InputStream
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from hydra.grammar.gen.OverrideLexer import OverrideLexer
from hydra.grammar.gen.OverrideParser import OverrideParser
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from jungle.config import CONFIGS
from jungle.config.kinds import OTHER, Kind, get_kind
from jungle.errors import UsageError
from jungle.plain import find_repeated

WORD = re.compile(r"(?P<sign>~|\+{0,2})(?P<key>[^=]*)=(?P<value>.*)", re.DOTALL)
QUOTED = re.compile(r"""'(?:\\\\)*'|'.*?[^\\](?:\\\\)*'|"(?:\\\\)*"|".*?[^\\](?:\\\\)*\"""", re.DOTALL)
"""A whole value in quotes; within, quotes and the backslashes before them are behind a backslash."""
BARE = re.compile(r"(?:\.{0,2}/|[A-Za-z_])[\w/.\-]*", re.ASCII)
"""What Hydra reads as the text that it is, but for the words `RESERVED`."""
RESERVED = {"true", "false", "null", "inf", "nan"}
FUNCTION = re.compile(r"(choice|range|interval|glob|shuffle|sort|tag)\(.*\)", re.DOTALL)
"""What in a sweep stands for several values."""
HYDRAS_PATHS = ("hydra.run.dir", "hydra.sweep.dir")
PAIRS = {"(": ")", "[": "]", "{": "}"}
LONGEST = 8192  # letters of a word


def check_blanks(words: Sequence[str]) -> None:
    """Refuse a setting that the shell has split at its spaces: `seed = 1`, `members=[a, b]`.

    Raises:
        UsageError: with the setting as it is written without spaces.
    """
    for i, word in enumerate(words):
        if "=" in word.strip("=") or word.startswith("~"):
            continue  # whole, unless pieces follow, which are found then
        first = i - 1 if i and (word.startswith("=") or _is_open(words[i - 1])) else i
        last = i + 1
        while last < len(words) and _continues(words[first:last], words[last]):
            last += 1
        if last - first > 1:
            pieces = words[first:last]
            raise UsageError(
                f"{' '.join(pieces)[:200]}: no spaces around = or after commas: write "
                f"{''.join(pieces)[:200]} (or put quotes around a value that has spaces)"
            )


def _continues(pieces: Sequence[str], word: str) -> bool:
    """Whether a word is a further piece of a setting rather than the next setting."""
    return word.startswith("=") or (_is_open(" ".join(pieces)) and "=" not in word)


def _is_open(text: str) -> bool:
    """Whether a setting is incomplete: its bracket is open, or it ends in `=` or a comma."""
    still = sum(text.count(a) - text.count(b) for a, b in PAIRS.items()) > 0
    return still or text.endswith(("=", ","))


def to_hydra_words(verb: str, words: Sequence[str], *, sweep: bool = False) -> list[str]:
    """Return the words of a command with all text in Hydra's notation.

    Args:
        verb: whose settings they are.
        words: `key=value`; what has another form is left as it is.
        sweep: whether a comma parts several values.

    Raises:
        UsageError: a value is empty, or is no list where one is needed.
    """
    return [_to_hydra_word(verb, word, sweep) for word in words]


def _to_hydra_word(verb: str, word: str, sweep: bool) -> str:
    found = WORD.fullmatch(word)
    if found is None or found["sign"] == "~" or verb not in CONFIGS:
        return word
    key, value = found["key"], found["value"]
    if len(word) > LONGEST:
        raise UsageError(f"{key}={value[:40]}...: a value has at most {LONGEST} letters")
    if "\0" in word:
        raise UsageError(f"{key}={value.replace(chr(0), '?')[:80]}: a NUL letter is in it (shown as ?)")
    if verb == "train" and not word.isascii() and re.search("[\ud800-\udfff]", word):
        shown = word.encode(errors="replace").decode()
        raise UsageError(
            f"{shown}: a name that is not UTF-8 (shown as ?) cannot be kept with the run; rename it"
        )
    kind = get_kind(CONFIGS[verb], key) or OTHER
    head = f"{found['sign']}{key}="
    if kind.group and "." not in key:
        # A choice has one name, and `experiment=x` is in the defaults already: there is nothing to add.
        return f"{key}={_format_choice(value, sweep)}"
    if found["sign"] == "+" and get_kind(CONFIGS[verb], key) is not None:
        head = f"++{key}="  # set it, whether or not the groups chosen have it
    if key in HYDRAS_PATHS:
        return head + (value if _is_quoted(value) or BARE.fullmatch(value) else _quote_raw(value))
    if not (kind.text or kind.texts):
        return head + _make_parsable(head, value)
    if sweep and FUNCTION.fullmatch(value) and _can_parse(head + value):
        return head + value
    parts = split(value) if sweep else [value]
    return head + ",".join(_format_value(key, part, kind) for part in parts)


def _format_value(key: str, value: str, kind: Kind) -> str:
    if not value.strip() or (kind.path and value in ("''", '""')):
        raise UsageError(f"{key}= is empty: give a value, or leave it out")
    if value.lower() == "null" or _is_quoted(value):
        return value
    if kind.texts and value[0] == "[" and value[-1] == "]":
        parts = split(value[1:-1]) if value[1:-1].strip() else []
        if "" in parts:
            raise UsageError(f"{key}={value}: nothing stands between two of its commas, or at an end")
        return f"[{','.join(_format_text(key, part) for part in parts)}]"
    several = [part for part in split(value) if part]
    if not kind.text:
        raise UsageError(f"{key}={value}: it takes a list; write {key}=[{','.join(several)}]")
    if kind.path and value[0] == "[" and value[-1] == "]" and not Path(value).exists():
        raise UsageError(
            f"{key}={value}: it takes one path, no list (write ./{value} for a path of that name)"
        )
    if kind.texts and len(several) > 1 and not _exists(value) and all(map(_exists, several)):
        raise UsageError(f"{key}={value}: several are a list; write {key}=[{','.join(several)}]")
    return _format_text(key, value)


def _format_text(key: str, text: str) -> str:
    if text == "???":
        raise UsageError(f"{key}=???: write ./??? for names of three letters")
    if _is_quoted(text) or (BARE.fullmatch(text) and text.lower() not in RESERVED):
        return text
    return quote(text)


def _exists(path: str) -> bool:
    try:
        return Path(path).expanduser().exists()
    except (OSError, RuntimeError, ValueError):
        return False


def _format_choice(value: str, sweep: bool) -> str:
    """Return names of choices, quoted where one looks like a number."""
    if value[:1] in "[{'\"" or FUNCTION.fullmatch(value):
        return value
    parts = split(value) if sweep or "," in value else [value]
    plain = [p if BARE.fullmatch(p) and p.lower() not in RESERVED - {"null"} else quote(p) for p in parts]
    return ",".join(p if part else "" for p, part in zip(plain, parts, strict=True))


def split(text: str) -> list[str]:
    """Return the parts of a text between commas, without blanks around them.

    A comma in quotes, or in brackets that are closed again, parts nothing: `other (small, brown)` is one.
    A quote opens where a part begins, not within a word as in `Côte d'Ivoire`.
    """
    parts: list[str] = []
    start = at = 0
    while at <= len(text):
        if at == len(text) or text[at] == ",":
            parts.append(text[start:at].strip())
            start = at + 1
        elif text[at] in "'\"" and not text[start:at].strip():
            found = QUOTED.match(text, at)
            if found and re.match(r"\s*(,|$)", text[found.end() :]):
                at = found.end() - 1
        elif text[at] in PAIRS:
            at = _find_closing(text, at) or at
        at += 1
    return parts


def _find_closing(text: str, at: int) -> int | None:
    """Return the position of the bracket that closes the one at `at`; None where there is none."""
    waiting: list[str] = []
    for i in range(at, len(text)):
        if text[i] in PAIRS:
            waiting.append(PAIRS[text[i]])
        elif waiting and text[i] == waiting[-1]:
            waiting.pop()
            if not waiting:
                return i
    return None


def escape_interpolation(text: str) -> str:
    """Return a text in which OmegaConf does not take `${` as an interpolation."""
    return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", text)


def quote(text: object) -> str:
    """Return a text in quotes, so that Hydra reads it unchanged."""
    return QuotedString(escape_interpolation(str(text)), Quote.single).with_quotes()


def get_word(override: Override) -> str:
    """Return an override as it was typed."""
    return str(override.input_line)


def get_text(override: Override) -> str:
    """Return the text that an override sets.

    Raises:
        UsageError: it has a `${...}` that is looked up elsewhere.
    """
    try:
        return str(OmegaConf.create({"text": override.value()})["text"])
    except OmegaConfBaseException:
        raise UsageError(f"{override.input_line}: write the folder out, without ${{...}}") from None


def _quote_raw(text: str) -> str:
    """Return a text in quotes, whose interpolations are still resolved."""
    return QuotedString(text, Quote.single).with_quotes()


def _is_quoted(value: str) -> bool:
    found = QUOTED.match(value)
    return found is not None and found.end() == len(value)


def _make_parsable(head: str, value: str) -> str:
    """Quote what Hydra's grammar cannot read; the type of the setting decides whether it is valid."""
    if value[:1] in "[{'\"" or _can_parse(head + value):
        return value
    return _quote_raw(value)


def _can_parse(word: str) -> bool:
    try:
        OverridesParser.create().parse_override(word)
    except HydraException:
        return False
    return True


def parse_words(words: Sequence[str]) -> list[Override]:
    """Read words.

    Raises:
        UsageError: one cannot be read, or is no `key=value`.
    """
    found: list[Override] = []
    for word in words:
        if "=" not in word and not word.startswith("~"):
            raise UsageError(
                f"{word[:200]}: a setting is key=value, and a value that has spaces needs quotes"
            )
        try:
            found += OverridesParser.create().parse_overrides([word])
        except HydraException as e:
            raise UsageError(f"{word[:200]}: cannot be read as key=value{_explain(e)}") from None
        if (key := _find_set_twice(word)) is not None:
            raise UsageError(f"{word[:200]}: {key} is set twice within it: keep one")
    if nameless := next((o for o in found if not o.key_or_group), None):
        raise UsageError(f"{nameless.input_line}: a setting is key=value")
    return found


def _find_set_twice(word: str) -> str | None:
    """Return a key that occurs twice in one `{key: value}` of a word: Hydra would keep the last."""
    if "{" not in word or word.count(":") < 2:
        return None
    waiting: list[Any] = [OverrideParser(CommonTokenStream(OverrideLexer(InputStream(word)))).override()]
    while waiting:
        node = waiting.pop()
        if isinstance(node, OverrideParser.DictContainerContext):
            pairs: list[Any] = node.dictKeyValuePair()  # pyright: ignore[reportAssignmentType]
            if (key := find_repeated(pair.dictKey().getText() for pair in pairs)) is not None:
                return key
        waiting += getattr(node, "children", None) or []
    return None


def _explain(error: Exception) -> str:
    found = re.search(
        r"^(missing|extraneous|mismatched|Unknown function|no viable)[^\n]*", str(error), re.MULTILINE
    )
    said = found[0] if found else ""
    if said.startswith("Unknown function"):
        return f" ({said.rstrip('.')}: a text with brackets stands in quotes)"
    return " (are brackets and quotes closed?)"


def refuse_sweep(verb: str, overrides: Sequence[Override]) -> None:
    """Refuse several values where the command is not a sweep.

    Raises:
        UsageError: with what to type.
    """
    for o in overrides:
        if o.is_sweep_override():
            fix = "several values are a sweep: add -m" if verb == "train" else "it takes one value"
            if o.key_or_group == "trainer.devices":
                fix = f"a list is written in brackets: trainer.devices=[{get_word(o).partition('=')[2]}]"
            raise UsageError(f"{o.input_line}: {fix}")
