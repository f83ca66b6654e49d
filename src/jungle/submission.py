"""Submission files: a template's rows, order and columns, filled with probabilities."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jungle.console import log
from jungle.data.tables import read_table
from jungle.errors import UsageError, nearest
from jungle.files import write_text


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


def write_submission(table: pl.DataFrame, template: Template, path: Path) -> None:
    """Write the template's rows, order and columns with the probabilities of a predictions table."""
    rows = pl.DataFrame({template.column: template.names})
    filled = rows.join(
        table.select(pl.col("clip").alias(template.column), *template.classes),
        on=template.column,
        how="left",
        maintain_order="left",
    )
    write_text(path, filled.write_csv(float_precision=8))
