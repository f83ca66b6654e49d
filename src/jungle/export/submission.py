"""Submission files: a template's rows, order and columns, filled with probabilities."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jungle.console import log
from jungle.data import predictions
from jungle.data.table_io import read_table
from jungle.data.text import clean_name, match_names
from jungle.errors import UsageError, UserError, suggest
from jungle.files import write_text
from jungle.names import show


@dataclass(frozen=True)
class Template:
    """A submission format: the first column names clips, the others are classes."""

    file: Path
    column: str
    names: list[str]
    classes: list[str]

    def of_model(self, known: tuple[str, ...]) -> dict[str, str]:
        """Return which class of the model each column is of: the same, else the only one of its fold.

        Raises:
            UsageError: a column is of no class, of several, or of that of another column.
        """
        found = match_names(self.classes, known)
        if lost := [*found.unknown, *found.ambiguous]:
            listed = ", ".join(map(repr, lost[:5])) + (", ..." if len(lost) > 5 else "")
            raise UsageError(
                f"template={self.file}: the model has no class {listed}.{suggest(lost[0], known)}"
            )
        for name, of in found.guessed.items():
            if sum(v == of for v in found.known.values()) > 1:
                raise UsageError(
                    f"template={self.file}: two columns are of the class {of!r}; remove {name!r}"
                )
        return found.known

    def check_classes(self, known: tuple[str, ...]) -> None:
        """Refuse a template with a class that the model does not know, and log what was guessed.

        Raises:
            UsageError: with the nearest class.
        """
        taken = self.of_model(known)
        if guessed := [f"{name!r} is {of!r}" for name, of in taken.items() if clean_name(name) != of]:
            log.warning(f"template={self.file}: classes that it writes in another way: {', '.join(guessed)}")
        if extra := [c for c in known if c not in taken.values()]:
            log.info(f"the template has no column for {', '.join(extra)}: left out of the submission")


def read_template(file: Path) -> Template:
    """Read a submission format.

    Raises:
        UsageError: it has no class column, or names a clip twice.
        UserError: it cannot be read as a table.
    """
    table = read_table(file, as_written=True).frame
    if table.width < 2:
        raise UsageError(f"template={file}: a submission format has a column of clips and one a class")
    column = table.columns[0]
    names = table[column].cast(pl.String)
    twice = names.filter(names.is_duplicated()).unique(maintain_order=True).to_list()
    if names.null_count() or twice:
        which = f": {show(twice[0])} comes twice" if twice else f": {names.null_count()} rows name none"
        raise UsageError(f"template={file}: column {column!r} must name each clip once{which}")
    if not len(names):
        raise UsageError(f"template={file}: names no clip; it needs one row a clip")
    return Template(file, column, names.to_list(), table.columns[1:])


def write_submission(
    table: pl.DataFrame, template: Template, path: Path, priors: Mapping[str, float]
) -> None:
    """Write the template's rows, order and columns with the probabilities of a predictions table.

    A submission must have a number in every cell. Here alone a clip that could not be read gets one:
    `priors`, the share of each class in the training clips.

    Raises:
        UserError: the table lacks a clip of the template.
    """
    classes = template.of_model(tuple(predictions.get_classes(table)))
    rows = pl.DataFrame({"clip": template.names}, schema={"clip": pl.String})
    found = rows.join(
        table.select("clip", "status", *set(classes.values())), on="clip", how="left", maintain_order="left"
    )
    if found["status"].null_count():
        lost = found.filter(pl.col("status").is_null())["clip"]
        raise UserError(
            f"template={template.file}: {len(lost)} of its clips have no prediction, as {lost[0]!r}"
        )
    failed = pl.col("status") == predictions.FAILED
    shares = (
        pl.when(failed).then(pl.lit(priors[of], pl.Float32)).otherwise(pl.col(of)).alias(c)
        for c, of in classes.items()
    )
    if n := int((found["status"] == predictions.FAILED).sum()):
        log.warning(
            f"submission: the class shares of the training clips stand for {n} clip{'s' if n > 1 else ''} "
            "that could not be read"
        )
    filled = found.select(pl.col("clip").alias(template.column), *shares)
    write_text(path, filled.write_csv(float_precision=8))
