"""Submission files: a template's rows, order and columns, filled with probabilities."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jungle.console import log
from jungle.data import predictions
from jungle.data.tables import read_table
from jungle.errors import UsageError, UserError, nearest
from jungle.files import replacing


@dataclass(frozen=True)
class Template:
    """A submission format: the first column names clips, the others are classes."""

    file: Path
    column: str
    names: list[str]
    classes: list[str]

    def check_classes(self, known: tuple[str, ...]) -> None:
        """Refuse a template with a class that the model does not know.

        Raises:
            UsageError: with the nearest class.
        """
        for name in self.classes:
            if name not in known:
                raise UsageError(
                    f"template={self.file}: the model has no class {name!r}.{nearest(name, known)}"
                )
        if extra := [c for c in known if c not in self.classes]:
            log.info(f"the template has no column for {', '.join(extra)}: left out of the submission")


def read_template(file: Path) -> Template:
    """Read a submission format.

    Raises:
        UsageError: it has no class column, or names a clip twice.
        UserError: it cannot be read as a table.
    """
    table = read_table(file).frame
    if table.width < 2:
        raise UsageError(f"template={file}: a submission format has a column of clips and one a class")
    column = table.columns[0]
    names = table[column].cast(pl.String)
    if names.null_count() or names.is_duplicated().any():
        raise UsageError(f"template={file}: column {column!r} must name each clip once")
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
    rows = pl.DataFrame({"clip": template.names}, schema={"clip": pl.String})
    found = rows.join(
        table.select("clip", "status", *template.classes), on="clip", how="left", maintain_order="left"
    )
    if found["status"].null_count():
        lost = found.filter(pl.col("status").is_null())["clip"]
        raise UserError(
            f"template={template.file}: {len(lost)} of its clips have no prediction, as {lost[0]!r}"
        )
    failed = pl.col("status") == predictions.FAILED
    shares = (
        pl.when(failed).then(pl.lit(priors[c], pl.Float32)).otherwise(pl.col(c)).alias(c)
        for c in template.classes
    )
    if n := int((found["status"] == predictions.FAILED).sum()):
        log.warning(
            f"submission: the class shares of the training clips stand for {n} clip{'s' if n > 1 else ''} "
            "that could not be read"
        )
    with replacing(path) as part:
        found.select(pl.col("clip").alias(template.column), *shares).write_csv(part, float_precision=8)
