"""Which columns of a user's table hold the labels, and what several of them say together."""

from collections.abc import Mapping

import polars as pl

from jungle.data.formats import vocabulary
from jungle.data.formats.columns import BINARY
from jungle.data.formats.vocabulary import NEVER_CLASSES, RANKS, ROLES, WEAK, fold_heading
from jungle.data.table_io import Table
from jungle.data.text import is_blank
from jungle.errors import UserError
from jungle.names import show

# Folded headings: of a name, of an epithet, of a group of species.
NAMES = ("label", "labels", "commonname", "speciescommonname", "scientificname")
EPITHETS = ("species", "espece", "especie", "art")
GROUPS = ("category", "animal", "classname", "taxon", "taxonname")


def is_binary(values: pl.Series) -> bool:
    """Return whether a column holds 0 and 1 alone."""
    some = values.drop_nulls()
    return bool(len(some)) and bool(some.str.to_lowercase().is_in(list(BINARY)).all())


def label_columns(table: Table, fit: list[str], said: list[str], extra: set[str]) -> list[str]:
    """Return the columns that may hold the label, the one to take first.

    Raises:
        UserError: two of them say different things.
    """
    frame = table.frame
    ranks = {fold_heading(c): c for c in frame.columns}
    genus = next((ranks[r] for r in RANKS if r in ranks), None)
    if genus is not None:  # a table of ranks: its species is an epithet, its class one of animals
        common = [c for c in fit if fold_heading(c) in NAMES]
        epithet = [c for c in fit if fold_heading(c) in EPITHETS]
        if common:
            said.append(f"labels are those of column {show(common[0])}")
            return common
        if epithet:
            extra.update((genus, epithet[0]))
            return epithet
    binary = [c for c in frame.columns if c not in fit and is_binary(frame[c])]
    others = [c for c in binary if fold_heading(c) not in NEVER_CLASSES]
    fit = [c for c in fit if not (is_binary(frame[c]) and (others or fold_heading(c) in WEAK))]
    fit = [c for c in fit if frame[c].null_count() < len(frame)] or ([] if others else fit[:1])
    for other in fit[1:]:
        pairs = frame.select(a=fit[0], b=other).drop_nulls().unique()
        if pairs["a"].n_unique() == len(pairs) == pairs["b"].n_unique():
            continue  # one name for another, as common and scientific ones
        if not len(pairs) or fold_heading(other) in GROUPS:
            continue
        raise UserError(
            f"{table.path}: columns {show(fit[0])} and {show(other)} may both be the label; name the one: "
            f"data.label_column={show(fit[0])} or data.label_column={show(other)}"
        )
    return fit


def join_label_columns(
    frame: pl.DataFrame, roles: dict[str, str], extra: set[str], said: list[str]
) -> pl.DataFrame:
    """Join all label columns: genus and species, or species 1, species 2, ..."""

    def stem(column: str) -> str:
        return fold_heading(column).rstrip("0123456789")

    numbered = [c for c in frame.columns if stem(c) in ROLES["label"] and stem(c) != fold_heading(c)]
    numbered = [c for c in numbered if c not in roles.values() and not is_binary(frame[c])]
    if "label" not in roles:
        if not numbered:
            return frame
        roles["label"] = numbered[0]
    label = roles["label"]
    if genus := [c for c in extra if fold_heading(c) in RANKS]:
        said.append(f"labels are columns {show(genus[0])} and {show(label)} together")
        return frame.with_columns(_build_binomial(genus[0], label).alias(label))
    more = [c for c in numbered if c != label and stem(c) == stem(label)]
    if not more:
        return frame
    extra.update(more)
    said.append(f"labels are columns {', '.join(show(c, 40) for c in (label, *more))} together")
    joined = pl.concat_str([pl.col(c) for c in (label, *more)], separator="\n", ignore_nulls=True)
    return frame.with_columns(pl.when(joined != "").then(joined).alias(label))


def _build_binomial(genus: str, species: str) -> pl.Expr:
    """Join genus and epithet; take the species alone where it names the genus, as `Panthera pardus` does."""
    first, second = pl.col(genus), pl.col(species)
    low, initial = first.str.to_lowercase(), second.str.extract(r"^(\p{Lu})\. ")
    whole = (second.str.to_lowercase() + " ").str.starts_with(low + " ")
    short = (initial == first.str.head(1)) & initial.is_not_null()
    both = pl.concat_str([first, second.str.replace(r"^\p{Lu}\. ", "")], separator=" ")
    apart = pl.concat_str([first, second], separator=" ", ignore_nulls=True)
    text = pl.when(whole).then(second).when(short).then(both).otherwise(apart)
    return pl.when(text != "").then(text)


def fill_observed(
    frame: pl.DataFrame, roles: Mapping[str, str], extra: set[str], said: list[str]
) -> pl.DataFrame:
    """Fill labels of clips without a species' name from what was observed in them.

    Camtrap DP (also TRAPPER and Agouti) leaves the name empty where `observationType` is blank, human or
    vehicle.
    """
    label = roles["label"]
    kind = next((c for c in frame.columns if fold_heading(c) == vocabulary.OBSERVED and c != label), None)
    if kind is None:
        return frame
    word = pl.col(kind).str.to_lowercase()
    taken = pl.col(label).is_null() & word.is_in(vocabulary.OBSERVED_CLASSES)
    counts = frame.filter(taken)[kind].str.to_lowercase().value_counts(sort=True)
    extra.add(kind)
    if counts.height:
        first = ", ".join(f"{n} {name}" for name, n in counts.iter_rows())
        said.append(f"labels of rows without one are those of column {show(kind)}: {first}")
    return frame.with_columns(pl.when(taken).then(word).otherwise(pl.col(label)).alias(label))


def fill_flagged(
    frame: pl.DataFrame, roles: Mapping[str, str], extra: set[str], said: list[str], blank: str
) -> pl.DataFrame:
    """Fill labels of clips without one by `blank` where a flag says so, as `Empty` of Timelapse does."""
    label = roles["label"]
    flags = [c for c in frame.columns if c not in roles.values() and is_blank(c) and is_binary(frame[c])]
    if not flags:
        return frame
    extra.update(flags)
    marked = pl.any_horizontal(
        pl.col(c).str.to_lowercase().is_in([w for w, value in BINARY.items() if value]) for c in flags
    ).fill_null(False)
    named = " or ".join(show(c, 40) for c in flags)
    taken = int(frame.select((marked & pl.col(label).is_null()).sum()).item())
    said.append(f"labels of rows without one are {show(blank)} where {named} is true: {taken}")
    others = frame.filter(marked & pl.col(label).is_not_null())[label]
    if other := sum(not is_blank(name) for name in others):
        said.append(f"rows where {named} is true that have another label, which is taken: {other}")
    filled = pl.when(marked & pl.col(label).is_null()).then(pl.lit(blank)).otherwise(pl.col(label))
    return frame.with_columns(filled.alias(label))
