"""Which column of a user's table is what, by the words that people and other programs write above it."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from jungle.console import log
from jungle.data.clips import META
from jungle.data.paths import absolute, locate, name_clips
from jungle.data.problems import shown
from jungle.data.tables import Table
from jungle.data.text import match_names
from jungle.errors import UserError, nearest


def key(heading: str) -> str:
    """A heading for comparison: letters and digits alone, no accents, in lower case."""
    text = unicodedata.normalize("NFKD", heading.casefold().replace("ß", "ss"))
    return "".join(c for c in text if c.isalnum())


def _words(text: str) -> tuple[str, ...]:
    return tuple(map(key, text.split()))


# Each word as `key` makes it; the first that a table has is taken. English, then French, German, Spanish,
# Portuguese, Italian, Dutch, Russian, Chinese and Japanese.
ROLES: dict[str, tuple[str, ...]] = {
    "filepath": _words("""
        filepath filename file path clip video relativepath absolutepath fullpath imagepath videopath clipname
        clippath videofile videoname videofilename mediafile media mediapath image imagename imagefile
        originalfilename
        fichier nomfichier nomdufichier nomdefichier chemin cheminfichier chemindufichier clipvideo
        datei dateiname dateipfad pfad videodatei bild
        archivo nombrearchivo nombredearchivo nombredelarchivo fichero nombrefichero ruta rutaarchivo
        rutadelarchivo arquivo nomearquivo nomedoarquivo ficheiro caminho caminhodoarquivo nomedoficheiro
        nomefile percorso bestand bestandsnaam bestandspad pad
        файл имяфайла путь видео 文件 文件名 文件路径 路径 视频 ファイル ファイル名 パス
    """),
    "label": _words("""
        label labels species class commonname speciescommonname speciesname specieslabel scientificname taxon
        taxonname animal animalspecies classname category vernacularname
        espece nomespece nomdelespece etiquette classe art tierart spezies artname klasse tier
        especie especies nombrecomun etiqueta clase nomecomum rotulo especieanimal specie etichetta soort
        diersoort вид животное класс метка 物种 种类 类别 标签 種 種名 ラベル
    """),
    "split": ("split", "subset"),
    "site": _words("""
        site siteid sitename location locationid locationname placename deployment deploymentid deploymentname
        station stationid stationname trapstation trapstationname cameratrap cameratrapid camera cameraid
        cameraname cam
        lieu nomdusite nomsite emplacement localisation camerasite pointdecapture
        standort standortid ort fundort kamerastandort kamera kameraid
        sitio lugar ubicacion localidad estacion camara idcamara local localizacao estacao ponto camaratrampa
        sito luogo stazione locatie plaats место станция камера 地点 相机 位点 場所 カメラ
    """),
    "time": _words("""
        time timestamp datetime dateandtime datetimeoriginal eventstart capturetime capturedat
        heure horodatage dateheure dateetheure zeit zeitpunkt zeitstempel datumzeit datumuhrzeit uhrzeit
        hora fechahora fechayhora horario datahora dataehora tijd ora
    """),
    "weight": ("weight",),
}
FOLDERS = _words("""
    relativepath folder foldername folderpath subfolder directory dir dossier repertoire ordner verzeichnis
    carpeta directorio pasta diretorio cartella map
    path filepath mediapath imagepath videopath chemin pfad ruta caminho percorso pad
""")
DATES = ("date", "datum", "fecha", "data", "jour", "dia")
RANKS = ("genus", "genre", "gattung", "genero")
# Columns of well-known programs that may hold 0 and 1 and are no class.
NEVER_CLASSES = frozenset(
    _words("""
        deleteflag delete flag flagged highlighted favorite count individuals quantity number night day ir
        infrared flash temperature temp moonphase sequence trigger id index row
    """)
)
WEAK = ("animal", "tier", "category", "classe", "klasse", "clase")
"""Words for a label that may as well be a class."""
BINARY_WORDS = frozenset(["0", "1", "0.0", "1.0", "true", "false"])
PLAIN = ("filename",)
"""Headings, besides the names of `ROLES`, that are of one meaning: as the competition has them."""
SAID = {"filepath": "clip"}
PARTS = {";": "semicolons", "\t": "tabs", "|": "bars"}
SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}[\"']?$")
TRIED = 60  # names that are looked for on disk to choose between two readings


@dataclass(frozen=True)
class Columns:
    """A table whose columns are known."""

    table: Table
    """With columns joined that together name a clip, a label or a time."""
    roles: dict[str, str]
    """Column of each role that the table has: those of `ROLES`."""
    used: frozenset[str]
    """Every column that something was read from."""

    def say_unused(self, but: Sequence[str] = ()) -> None:
        """Log which columns are not used, `but` for those that are classes."""
        left = [c for c in self.table.frame.columns if c not in self.used and c not in but]
        if left:
            log.info(f"{self.table.path}: columns not used: {', '.join(shown(c, 40) for c in left)}")


def find_columns(
    table: Table,
    named: Mapping[str, str | None],
    root: Path | None = None,
    *,
    labels: bool = False,
    but: Sequence[str] = (),
) -> Columns:
    """Which column has which role (`filepath`, `label`, ...): as `named`, else by its heading.

    Args:
        table: the table.
        named: the columns that the user names; None finds one.
        root: the folder of the clips, to see whether a folder's column belongs to the names.
        labels: whether a table of labels is read: else no column is looked for that holds the label.
        but: columns that are classes, and nothing else.

    Raises:
        UserError: a named column is not there, none names the clips, or two may be the label.
    """
    frame = table.frame
    roles = _named(table, named)
    free: dict[str, str] = {}
    twins: dict[str, list[str]] = {}
    for c in frame.columns:
        if c not in but and c not in roles.values():
            word = key(re.sub(r"\(.*?\)|\[.*?\]", "", c)) or key(c)  # `Species (common)` is species
            free.setdefault(word, c)
            twins.setdefault(word, []).append(c)
    said: list[str] = []
    extra: set[str] = set()
    for role, words in ROLES.items():
        if role in roles or (role == "label" and not labels):
            continue
        fit = [c for w in words for c in twins.get(w, []) if c not in roles.values()]
        if role == "filepath":
            fit = sorted(fit, key=lambda c: not _names_files(frame[c]))
            if fit and fit[0].lower() != "filepath":  # which is the whole name by its own word
                fit = sorted(fit, key=lambda c: not _is_whole(frame, c, fit[0]))
        elif role == "label":
            fit = _labels(table, fit, said, extra)
        elif role == "site":
            fit = [c for c in fit if not frame[c].drop_nulls().head(20).str.contains("://").any()]
        if fit:
            roles[role] = fit[0]
    if "filepath" not in roles:
        raise UserError(_no_names(table, labels and "label" not in roles))
    frame = _with_folders(table, free, roles, root, said, extra)
    if labels and not but:
        frame = _with_all_labels(frame, roles, extra, said)
    if "time" in roles:
        frame = _with_dates(frame, free, roles, said, extra)
    if labels and (flag := free.get("deleteflag")) is not None:
        rows = (frame[flag].str.to_lowercase() == "true").fill_null(False).sum()
        if rows:
            said.append(f"rows with {shown(flag)} true are used like the others: {rows}")
    if guessed := _guessed(table, named, roles):
        said.insert(0, guessed)
    for line in said:
        log.info(f"{table.path}: {line}")
    return Columns(replace(table, frame=frame), roles, frozenset(roles.values()) | extra)


def _guessed(table: Table, named: Mapping[str, str | None], roles: Mapping[str, str]) -> str:
    """Say which column was taken for what, and which separator, where other words are used."""
    taken = [(role, c) for role, c in roles.items() if named.get(role) is None]
    found = [f"the {SAID.get(role, role)} is column {shown(c, 40)}" for role, c in taken]
    plain = all(c.casefold() == role or c.casefold() in PLAIN for role, c in taken)
    if plain and table.separator == ",":
        return ""
    between = PARTS.get(table.separator, repr(table.separator))
    cells = "" if table.separator == "," else f"; columns are separated by {between}"
    return f"{', '.join(found)}{cells}"


def _named(table: Table, named: Mapping[str, str | None]) -> dict[str, str]:
    wanted = {role: name for role, name in named.items() if name is not None}
    found = match_names(wanted.values(), table.frame.columns)
    lost = {role: name for role, name in wanted.items() if name not in found.known}
    if lost:
        raise UserError(
            f"{table.path}: "
            + " ".join(
                f"no column {name!r} for the {role}.{nearest(name, table.frame.columns)}"
                for role, name in lost.items()
            )
        )
    return {role: found.known[name] for role, name in wanted.items()}


def reserved(columns: Columns) -> set[str]:
    """Keys of columns that are never classes, although they may hold 0 and 1; or nothing, under a label."""
    words = (
        "filepath filename file path clip video split subset site siteid location deployment camera station"
    )
    words += " time timestamp datetime weight"
    frame = columns.table.frame
    empty = {key(c) for c in frame.columns if frame[c].null_count() == len(frame)} & set(ROLES["label"])
    return {*words.split(), *map(key, columns.used), *NEVER_CLASSES, *META, *empty}


def _no_names(table: Table, and_no_label: bool) -> str:
    columns = table.frame.columns
    heads = ", ".join(shown(c, 40) for c in columns[:12])
    if any(SUFFIX.search(c) for c in columns) and not any(key(c) in ROLES["label"] for c in columns):
        return (
            f"{table.path}: its first line names a file ({heads}): the table has no header. Write one "
            "above it, as filepath,label,site."
        )
    maybe = next((c for c in columns if _names_files(table.frame[c])), "<column>")
    text = (
        f"{table.path}: no column names the clips: filepath, filename, file, path, clip, video (and the same "
        f"in other languages) are looked for, there are {heads}. Name it: "
        f"data.filepath_column={shown(maybe)}."
    )
    first = table.frame.head(1).row(0) if table.frame.height else ()
    if any(cell and key(cell) in ROLES["filepath"] for cell in first):
        text += f" {table.place(0).capitalize()} looks like the header: remove what stands above it."
    if {"mediaid", "observationtype"} <= {key(c) for c in columns}:
        return (
            f"{table.path}: observations of a Camtrap DP name no files. Add the column filePath of media.csv "
            "to them, by mediaID."
        )
    if and_no_label and not any(_binary(table.frame[c]) for c in columns):
        text += (
            " No column holds the labels either (label, species or class, or columns of 0 and 1): "
            "data.label_column=<column>."
        )
    return text


def _names_files(values: pl.Series) -> bool:
    """Whether most values end in a suffix, as the names of files do."""
    some = values.drop_nulls().head(200).to_list()
    return bool(some) and sum(bool(SUFFIX.search(v)) for v in some) > len(some) / 2


def _is_whole(frame: pl.DataFrame, column: str, last: str) -> bool:
    """Whether a column has the whole names of which another has the last parts alone."""
    if column == last or frame[last].str.contains(r"[/\\]").any():
        return False
    whole = pl.col(column).str.replace_all("\\", "/", literal=True)
    ends = frame.select(whole.str.ends_with(pl.lit("/") + pl.col(last)))
    return bool(ends.to_series().fill_null(False).all())


def _binary(values: pl.Series) -> bool:
    """Whether a column holds 0 and 1 alone."""
    some = values.drop_nulls()
    return bool(len(some)) and bool(some.str.to_lowercase().is_in(list(BINARY_WORDS)).all())


def _labels(table: Table, fit: list[str], said: list[str], extra: set[str]) -> list[str]:
    """The columns that may hold the label, the one to take first.

    Raises:
        UserError: two of them say different things.
    """
    frame = table.frame
    ranks = {key(c): c for c in frame.columns}
    genus = next((ranks[r] for r in RANKS if r in ranks), None)
    if genus is not None:  # a table of ranks: its species is an epithet, its class one of animals
        common = [
            c
            for c in fit
            if key(c) in ("label", "labels", "commonname", "speciescommonname", "scientificname")
        ]
        epithet = [c for c in fit if key(c) in ("species", "espece", "especie", "art")]
        if common:
            said.append(f"labels are those of column {shown(common[0])}")
            return common
        if epithet:
            extra.update((genus, epithet[0]))
            return epithet
    others = [c for c in frame.columns if c not in fit and _binary(frame[c]) and key(c) not in NEVER_CLASSES]
    fit = [c for c in fit if not (_binary(frame[c]) and (others or key(c) in WEAK))]
    fit = [c for c in fit if frame[c].null_count() < len(frame)] or ([] if others else fit[:1])
    for other in fit[1:]:
        pairs = frame.select(a=fit[0], b=other).drop_nulls().unique()
        if pairs["a"].n_unique() == len(pairs) == pairs["b"].n_unique():
            continue  # one name for another, as common and scientific ones
        if key(other) in ("category", "animal", "classname", "taxon", "taxonname") or len(pairs) == 0:
            continue
        raise UserError(
            f"{table.path}: columns {shown(fit[0])} and {shown(other)} may both be the label. Name the one: "
            f"data.label_column={shown(fit[0])} or data.label_column={shown(other)}."
        )
    return fit


def _with_all_labels(
    frame: pl.DataFrame, roles: dict[str, str], extra: set[str], said: list[str]
) -> pl.DataFrame:
    """The table with all label columns as one: genus and species, or species 1, species 2, ..."""

    def stem(column: str) -> str:
        return key(column).rstrip("0123456789")

    numbered = [c for c in frame.columns if stem(c) in ROLES["label"] and stem(c) != key(c)]
    numbered = [c for c in numbered if c not in roles.values() and not _binary(frame[c])]
    if "label" not in roles:
        numbered = [
            c
            for c in frame.columns
            if key(c).rstrip("0123456789") in ROLES["label"] and key(c)[-1:].isdigit()
        ]
        numbered = [c for c in numbered if c not in roles.values() and not _binary(frame[c])]
        if not numbered:
            return frame
        roles["label"] = numbered[0]
    label = roles["label"]
    if genus := [c for c in extra if key(c) in RANKS]:
        said.append(f"labels are columns {shown(genus[0])} and {shown(label)} together")
        both = pl.concat_str([pl.col(genus[0]), pl.col(label)], separator=" ", ignore_nulls=True)
        return frame.with_columns(pl.when(both != "").then(both).alias(label))
    more = [c for c in numbered if c != label and stem(c) == stem(label)]
    if not more:
        return frame
    extra.update(more)
    said.append(f"labels are columns {', '.join(shown(c, 40) for c in (label, *more))} together")
    joined = pl.concat_str([pl.col(c) for c in (label, *more)], separator="\n", ignore_nulls=True)
    return frame.with_columns(pl.when(joined != "").then(joined).alias(label))


def _with_dates(
    frame: pl.DataFrame, free: Mapping[str, str], roles: Mapping[str, str], said: list[str], extra: set[str]
) -> pl.DataFrame:
    """The table with its dates before its hours, where they are two columns."""
    time = roles["time"]
    date = next((free[d] for d in DATES if d in free and free[d] not in roles.values()), None)
    hours = frame[time].drop_nulls()
    if (
        date is None
        or not len(hours)
        or not hours.str.contains(r"^\d{1,2}:\d\d(:\d\d)?( ?[AaPp][Mm])?$").all()
    ):
        return frame
    extra.add(date)
    said.append(f"times are columns {shown(date)} and {shown(time)} together")
    return frame.with_columns(pl.concat_str([pl.col(date), pl.col(time)], separator=" ").alias(time))


def _with_folders(
    table: Table,
    free: Mapping[str, str],
    roles: Mapping[str, str],
    root: Path | None,
    said: list[str],
    extra: set[str],
) -> pl.DataFrame:
    """The table with the folder of each clip before its name, where they are two columns."""
    frame, name = table.frame, roles["filepath"]
    others = [free[w] for w in FOLDERS if w in free and free[w] not in roles.values()]
    others = [c for c in others if frame[c].null_count() < len(frame) and not _names_files(frame[c])]
    if not others or not _names_files(frame[name]) or frame[name].str.contains(r"[/\\]").any():
        return frame
    readings: dict[tuple[str, ...], str] = {}
    readings[(others[0], name)] = f"columns {shown(others[0])} and {shown(name)} together name a clip"
    if (top := free.get("rootfolder")) is not None:
        three = f"{shown(top)}, {shown(others[0])} and {shown(name)}"
        readings[(top, others[0], name)] = f"columns {three} together name a clip"
    readings[(name,)] = ""
    best = max(readings, key=lambda columns: _hits(frame, columns, root))
    if len(best) > 1:
        said.append(readings[best])
        extra.update(best)
    return frame.with_columns(_joined(best).alias(name))


def _joined(columns: Sequence[str]) -> pl.Expr:
    folders = [
        pl.col(c).str.replace_all("\\", "/", literal=True).str.strip_chars_end("/").replace(["", "."], None)
        for c in columns[:-1]
    ]
    path = pl.concat_str([*folders, pl.col(columns[-1])], separator="/", ignore_nulls=True)
    return pl.when(pl.col(columns[-1]).is_not_null()).then(path)


def _hits(frame: pl.DataFrame, columns: Sequence[str], root: Path | None) -> int:
    """How many of a few names are on disk if read so."""
    if root is None:
        return 0
    some = frame.gather_every(max(frame.height // TRIED, 1)).select(_joined(columns).alias("name"))
    names = name_clips(some["name"].drop_nulls(), absolute(root), say=False)
    return int(locate(names.path.drop_nulls()).is_not_null().sum())
