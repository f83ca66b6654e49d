"""Decoding of text files: UTF-8, else a guess that is logged, else an error."""

import html
import re
from dataclasses import dataclass

from jungle.errors import UserError

BOMS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
GUESSES = {"cp1252": "Windows-1252", "mac_roman": "Mac Roman", "cp850": "DOS (code page 850)"}
# Letters of names in Western languages. Read in a wrong code page, their bytes become other signs.
LETTERS = frozenset("àâäáãåæçéèêëíìîïñóòôöõøœúùûüýÿßÀÂÄÁÃÅÆÇÉÈÊËÍÎÏÑÓÔÖÕØŒÚÛÜ°ºª’‘“”–—")
OFTEN = frozenset("àâäáãåæçéèêëíîïñóôöõøúûüßÉÖÜÄ’")
SAVE = "Save it again as UTF-8 (in Excel: CSV UTF-8)."
SAMPLE = 4 * 2**20  # bytes that a guess is made from


@dataclass(frozen=True)
class DecodedText:
    """The text of a file, and in one line what was guessed of its encoding; empty if nothing was."""

    text: str
    guess: str = ""


KINDS = (  # the first bytes of files that are no text, whatever their suffix
    (b"PK\x03\x04", "an Excel workbook or a ZIP archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook"),
    (b"\x1f\x8b", "packed with gzip"),
    (b"PAR1", "a Parquet file"),
    (b"SQLite format 3\0", "a database of SQLite"),
    (b"%PDF", "a PDF"),
)


def decode_text(data: bytes) -> DecodedText:
    """Decode a file written by an unknown program.

    Raises:
        UserError: it is not text, or in two encodings, or in one that cannot be guessed; names the lines.
        UnicodeDecodeError: it begins as UTF-16 or UTF-32 and is not that.
    """
    for mark, kind in KINDS:
        if data.startswith(mark):
            fix = "Name it .parquet" if mark == b"PAR1" else "Save its table as CSV (in Excel: CSV UTF-8)"
            raise UserError(f"it is {kind}. {fix}.")
    for mark, name in BOMS:
        if data.startswith(mark):
            return DecodedText(data.decode(name))
    if name := _detect_utf16(data):
        return DecodedText(
            data.decode(name), f"read as {name[:-3].upper()}, although nothing in the file says so"
        )
    try:
        return DecodedText(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return _guess_encoding(data)


def _detect_utf16(data: bytes) -> str:
    """Detect UTF-16 without a mark: Western text has every second byte zero."""
    head = data[:4096]
    if len(head) < 4 or len(data) % 2 or b"\0" not in head:
        return ""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if odd > 0.4 * len(head) / 2 and even < 0.02 * len(head):
        return "utf-16-le"
    if even > 0.4 * len(head) / 2 and odd < 0.02 * len(head):
        return "utf-16-be"
    return ""


def _guess_encoding(data: bytes) -> DecodedText:
    lines = re.split(rb"\r\n|\n|\r", data)
    first: dict[bool, int] = {}
    odd: list[bytes] = []
    size = 0
    for number, line in enumerate(lines, 1):
        if line.isascii():
            continue
        try:
            line.decode("utf-8")
            utf8 = True
        except UnicodeDecodeError:
            utf8 = False
            if size < SAMPLE:
                odd.append(line)
                size += len(line)
        first.setdefault(utf8, number)
    if len(first) > 1:
        raise UserError(
            f"it is written in two encodings: line {first[True]} is UTF-8, line {first[False]} is not. One "
            f"name would become two. {SAVE}"
        )
    sample = b"\n".join(odd)
    name = max(GUESSES, key=lambda guess: _rate_encoding(sample, guess))
    text = _decode_as(sample, name)
    if text is None or _rate_encoding(sample, name) < 0.8:
        shown = odd[0].decode("ascii", "replace")[:60]
        raise UserError(f"its encoding cannot be guessed (line {first[False]}: {shown!r}). {SAVE}")
    mixed = next((w for w in re.findall(r"[^\x00-\x7f]{2,}", text) if undo_mojibake(w)), None)
    if mixed is not None:
        raise UserError(f"line {first[False]} is written in two encodings: {mixed!r} is UTF-8. {SAVE}")
    word = next((w for w in re.split(r"[^\w’'-]+", text) if not w.isascii()), text.strip()[:40])
    whole = _decode_as(data, name) or data.decode("latin-1")
    return DecodedText(
        whole,
        f"not UTF-8: read as {GUESSES[name]}, as {word!r} (line {first[False]}); if that is wrong, save it "
        "as UTF-8",
    )


def _decode_as(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except UnicodeDecodeError:
        return None


def _rate_encoding(data: bytes, name: str) -> float:
    """Rate how much the text looks like Western names, up to 1; slightly more for common letters."""
    text = _decode_as(data, name)
    if text is None:
        return -1.0
    signs = [c for c in text if not c.isascii()]
    good = sum(c in LETTERS for c in signs) - sum(len(run) for run in re.findall(r"[^\x00-\x7f]{3,}", text))
    often = sum(c in OFTEN for c in signs)
    inside = len(re.findall(r"[a-z][À-Þ]", text))  # a capital within a word: hardly ever meant
    return (good - inside) / len(signs) + 0.01 * often / len(signs)


def undo_mojibake(text: str) -> str | None:
    """Return UTF-8 text as it was before it was read as Windows-1252 or Latin-1; None if it was not."""
    if text.isascii():
        return None
    for name in ("cp1252", "latin-1"):
        try:
            before = text.encode(name).decode("utf-8")
        except UnicodeError:
            continue
        return before if before.isprintable() else None
    return None


LOST = "(letters lost)"
_ESCAPES = re.compile(r"\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|<U\+[0-9a-fA-F]{4}>")
_ENTITIES = re.compile(r"&(?:[A-Za-z]{2,8}|#\d{2,6}|#x[0-9a-fA-F]{2,5});")
_QUESTIONS = re.compile(r"[^\W\d_]\?[^\W\d_]|^\?[^\W\d_]|\ufffd")


def repair_text(text: str) -> str | None:
    r"""Return a name as it was before a program broke it; None if none did.

    `Ã©` and `&eacute;` and `\u00e9` are read as what they stand for; of `Rivi?re` letters are `LOST`.
    """
    if (before := undo_mojibake(text)) is not None:
        return before
    if _ENTITIES.search(text) and (before := html.unescape(text)) != text:
        return before
    if _ESCAPES.search(text):
        return _ESCAPES.sub(lambda m: chr(int(re.sub(r"[^0-9a-fA-F]|^.x", "", m[0]), 16)), text)
    return LOST if _QUESTIONS.search(text) else None
