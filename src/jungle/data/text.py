"""Text that people wrote: which words are the same, which may be, and which mean an empty cell.

Tables, folders, templates, lists and settings all go through here, so that a name means the same wherever it
was written.
"""

import re
import unicodedata
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass

import polars as pl

# Characters that cannot be seen, except the two joiners, which Indic, Persian and emoji writing needs.
INVISIBLE = "\u200b\u2060\ufeff\u00ad\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u180e"
JOINERS = "\u200c\u200d"
BLANKS = (
    " \t\r\n\v\f\x1c\x1d\x1e\x1f\x85\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    "\u200a\u2028\u2029\u202f\u205f\u3000"
)
ENDS = BLANKS + INVISIBLE
QUOTES = ("''", '""', "\u2018\u2019", "\u201c\u201d", "\u00ab\u00bb")

# fmt: off
MISSING = frozenset([  # R, pandas, SQL; spreadsheets' errors in English, German, French and Spanish
    "na", "n/a", "<na>", "nan", "nat", "null", "(null)", "\\n", "#n/a", "#nv", "#n/d", "#null!", "#value!",
    "#wert!", "#valeur!", "#¡valor!", "#ref!", "#bezug!", "#name?", "#nom?", "#¿nombre?", "#div/0!",
    "#¡div/0!", "#num!", "#zahl!", "#spill!", "#calc!",
])
"""What programs write for an empty cell, in lower case. `None` as Python writes it is one too."""
AMBIGUOUS = frozenset([
    "none", "nil", "n.a.", "n.a", "-", "--", "---", "–", "—", ".", "..", "...", "…", "?", "??", "???", "/",
    "//", "*", "[]", "{}", "()", "(blank)", "(empty)", "(leer)", "(vide)", "tbd", "todo", "to do", "missing",
    "unclassified", "unprocessed", "not labelled", "not labeled", "no label", "no id", "no data", "nodata",
    "not recorded", "not available", "na_character_", "n\\a", "-99", "-999", "-9999", "keine angabe", "k.a.",
    "sin datos", "sem dados", "nc", "no cv result", "to sort", "unsorted", "to check", "unchecked",
    "to review", "deleted", "rejected", "trash", "tmp", "temp", "new folder", "untitled folder",
    "neuer ordner", "nouveau dossier", "nueva carpeta",
])
UNLABELLED = frozenset(["unlabelled", "unlabeled"])
NO_SITE = frozenset([
    "unknown", "unknown site", "unknown location", "unk", "not known", "no site", "unbekannt", "inconnu",
    "inconnue", "desconocido", "desconocida", "desconhecido", "desconhecida", "sconosciuto", "onbekend",
    "not set", "not assigned", "unassigned", "undefined", "unspecified", "not specified", "tbc", "tba",
    "no location", "no station", "no camera", "no deployment",
])
# fmt: on
"""`AMBIGUOUS` is what people write for an empty cell, for no animal, or for an unknown one."""
# fmt: off
BLANK_WORDS = frozenset([  # English, German, French, Spanish, Portuguese, Italian, Dutch; Nordic and others
    "blank", "empty", "nothing", "none", "no animal", "no animals", "no wildlife", "false trigger",
    "leer", "leeraufnahme", "nichts", "kein tier", "keine tiere", "fehlauslösung",
    "vide", "rien", "aucun", "aucun animal", "pas d'animal",
    "vacío", "vacía", "nada", "sin animal", "sin animales", "ningún animal", "en blanco",
    "vazio", "vazia", "sem animal", "sem animais", "nenhum animal",
    "vuoto", "vuota", "niente", "nessun animale", "leeg", "niets", "geen dier", "geen dieren",
    "tom", "tomt", "ingen dyr", "inga djur", "tyhjä", "puste", "brak zwierząt", "prázdné", "boş", "kosong",
    "tupu", "пусто", "空",
])
# fmt: on
"""What people call a clip without an animal; the one list, for tables and pages alike."""

_LOOKS = str.maketrans(
    # What no reader tells apart from the Latin letter, the hyphen and the straight quote.
    {
        **dict(zip("аеорсухіјѕкмтвн", "aeopcyxijskmtbh", strict=True)),
        **dict(zip("οανικρτυχ", "oavikptux", strict=True)),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        **dict.fromkeys("\u2018\u2019\u02bc\u00b4`\u2032", "'"),
        **dict.fromkeys("\u201c\u201d\u00ab\u00bb", '"'),
    }
)
_DROPPED = dict.fromkeys(map(ord, INVISIBLE + JOINERS))
_AS_IT_LOOKS = {**{ord(c): " " for c in BLANKS if c not in "\r\n"}, **dict.fromkeys(map(ord, INVISIBLE))}


def clean_text(text: str) -> str:
    """Compose the accents of a text (NFC), and remove blanks and invisible characters at its ends."""
    text = text.strip(ENDS)
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def clean_name(text: str) -> str:
    """Clean a class or a site: each blank a space, nothing invisible, no quotes around it.

    A line break stays: it may stand between two species.
    """
    text = clean_text(text)
    if not text.isascii():
        text = text.translate(_AS_IT_LOOKS)
    elif "\t" in text:
        text = text.replace("\t", " ")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return clean_text(strip_quotes(text))


def strip_quotes(text: str) -> str:
    """Remove a pair of quotes around a text, as a file manager's "Copy as path" puts them.

    Likewise without the formula `="..."` or `=HYPERLINK("...")` of a spreadsheet around it.
    """
    if formula := re.fullmatch(r'=(?:HYPERLINK\()?"([^"]+)"(?:[,;][^()]*)?\)?', text, re.IGNORECASE):
        return formula[1].strip(ENDS)
    if len(text) > 2 and text[0] + text[-1] in QUOTES and not set(text[1:-1]) & {text[0], text[-1]}:
        return text[1:-1].strip(ENDS)
    return text


def fold_text(text: str) -> str:
    """Fold a text for comparison: few readers can tell two names of one fold apart.

    Case, blanks, `-` and `_`, accents on Latin letters, letters of other scripts that look the same,
    characters without a picture, quotes around it and marks at its end make no difference.
    """
    text = unicodedata.normalize("NFKD", text.translate(_DROPPED)).casefold()
    if not text.isascii():
        text = re.sub(r"([a-z])[\u0300-\u036f]+", r"\1", text)  # marks of other scripts are letters of theirs
        text = unicodedata.normalize("NFC", text).translate(_LOOKS)
    text = strip_quotes(text.strip(ENDS))
    text = re.sub(r"[\s_-]+", " ", text).strip()
    text = text.rstrip("?!.,;:* ") or text
    return re.sub(r"(?<=[^\W\d]) (?=\w)|(?<=\w) (?=[^\W\d])", "", text)  # between numbers it counts


def is_missing(text: str) -> bool:
    """Return whether programs write this for an empty cell."""
    return text == "None" or text.casefold() in MISSING


def is_ambiguous(text: str) -> bool:
    """Return whether only its writer knows if this is an empty cell, no animal, or a name.

    Marks alone, as `~` or `__`, say no more than `-` does.
    """
    text = text.strip("_") or text
    marks = text != "" and all(unicodedata.category(c)[0] == "P" or c in "~^`´¨|=<>" for c in text)
    return (marks or text.casefold() in AMBIGUOUS) and not is_missing(text)


LONGEST = 200  # letters of a name that is looked at closely; no class may have more
_AMOUNT = r"\d+(?:[.,]\d+)?\s?%?"
_NOT_THE_NAME = re.compile(
    # A number of animals or a probability before or behind the name, and what a file manager adds to a copy.
    rf"\s*(?:\({_AMOUNT}\)|[x×*:=]\s?{_AMOUNT})$|\s+(?:\d+[.,]\d+\s?%?|\d+\s?%)$|^{_AMOUNT}\s*[x×*:=]?\s+(?=\w)"
    r"|^(?:copy of|kopie von|copie de|copia de|cópia de)\s+"
    r"|(?:\s+[-–]\s*|\s+\(?|_)(?:copy|kopie|copie|copia|cópia)(?:\s*\(?\d+\)?)?\)?$",
    re.IGNORECASE,
)


def fold_class(name: str) -> str:
    """Fold a class for comparison: as `fold_text`, without a count or a probability at its ends.

    An `s` at its end, brackets around it, pictures (emoji) and the words that a file manager gives a copy
    make no difference, nor, in a number, the `.0` that spreadsheets add and the zeros that they drop.
    """
    text = clean_name(name)
    if len(text) > LONGEST:
        return fold_text(text)
    if not text.isascii():
        text = "".join(c for c in text if unicodedata.category(c) != "So").strip() or text
    while (shorter := _NOT_THE_NAME.sub("", text).strip()) not in (text, ""):
        text = shorter
    if text[:1] + text[-1:] in ("()", "[]", "{}", "<>") and text[1:-1].strip():
        text = text[1:-1]
    folded = fold_text(re.sub(r"^0*(\d+?)(?:\.0)?$", r"\1", text) or name)
    return folded[:-1] if len(folded) > 3 and folded.endswith("s") else folded


def fold_site(name: str) -> str:
    """Fold a site for comparison: as `fold_text`, numbers without the zeros that spreadsheets change."""
    return fold_text(re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"^(\d+)\.0$", r"\1", name)))


def find_scripts(name: str) -> list[str]:
    """Find the scripts of a name's letters where one word mixes them (Latin, Cyrillic, ...), else none.

    Kana and Chinese signs go together in Japanese, and are one.
    """
    several: set[str] = set()
    for word in re.findall(r"[^\W\d_]+", "" if name.isascii() else name):
        found = {unicodedata.name(c, "").split()[0].split("-")[0].capitalize() for c in word} - {""}
        found = {"East Asian" if s in _EAST_ASIAN else s for s in found - _SIGNS}
        several |= found if len(found) > 1 else set()
    return sorted(several)


_EAST_ASIAN = frozenset(
    ["Cjk", "Hiragana", "Katakana", "Katakana-hiragana", "Halfwidth", "Fullwidth", "Hangul", "Bopomofo"]
)
_SIGNS = frozenset(
    ["Modifier", "Feminine", "Masculine", "Micro", "Combining", "Kelvin", "Angstrom", "Ohm", "Superscript"]
)


def is_blank(name: str) -> bool:
    """Return whether a class is that of clips without an animal."""
    return fold_text(name) in _BLANK_FOLDS


_BLANK_FOLDS = frozenset(fold_text(w) for w in BLANK_WORDS)


def map_values(values: pl.Series, by: dict[str, str]) -> pl.Series:
    """Change some of the values of a column of text."""
    changed = {k: v for k, v in by.items() if k != v}
    return values.replace(changed) if changed else values


def clean_names(values: pl.Series) -> pl.Series:
    """Clean a column of classes or sites with `clean_name`; null where nothing is left."""
    unique = values.drop_nulls().unique().to_list()
    cleaned = map_values(values, {v: clean_name(v) for v in unique})
    return pl.select(pl.when(cleaned != "").then(cleaned).alias(values.name)).to_series()


def find_spellings(names: Iterable[str], fold: Callable[[str], str] = fold_text) -> list[list[str]]:
    """Find the names that are one word written in several ways, each group in the order given."""
    alike: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        alike.setdefault(fold(name), []).append(name)
    return [group for group in alike.values() if len(group) > 1]


@dataclass(frozen=True)
class Matches:
    """What each of some names is called by those who know it."""

    known: dict[str, str]
    """From a name to the known one: the same, else the one of the same fold."""
    ambiguous: dict[str, tuple[str, ...]]
    """Names that several known ones fit equally well."""
    unknown: tuple[str, ...]

    @property
    def guessed(self) -> dict[str, str]:
        """Those of `known` that are written in another way."""
        return {a: b for a, b in self.known.items() if a != b}


def match_names(names: Iterable[str], known: Sequence[str]) -> Matches:
    """Find each of the names among the known ones: exactly, else as the only one of its fold."""
    exact = set(known)
    composed: dict[str, list[str]] = {}
    folds: dict[str, list[str]] = {}
    for k in dict.fromkeys(known):
        composed.setdefault(clean_name(k), []).append(k)
        folds.setdefault(fold_text(k), []).append(k)
    return match_fitting(
        names, exact, lambda name: composed.get(clean_name(name)) or folds.get(fold_text(name), [])
    )


def match_fitting(
    names: Iterable[str], exact: Container[str], fitting: Callable[[str], Sequence[str]]
) -> Matches:
    """Find each of the names: exactly, else as the only one that fits.

    Args:
        names: that are looked for.
        exact: the known ones.
        fitting: gives those of them that a name may mean.
    """
    found: dict[str, str] = {}
    several: dict[str, tuple[str, ...]] = {}
    lost: list[str] = []
    for name in dict.fromkeys(names):
        fit = [name] if name in exact else fitting(name)
        if len(fit) == 1:
            found[name] = fit[0]
        elif fit:
            several[name] = tuple(fit)
        else:
            lost.append(name)
    return Matches(found, several, tuple(lost))
