"""The clips table: one row a video, one 0/1/null column a class. Every label format ends here."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from jungle import names
from jungle.data.table_io import read_table
from jungle.errors import UserError, shorten_error
from jungle.files import write_text
from jungle.parquet import write_parquet

SPLITS = ("train", "val", "test", "unlabelled")
META = ("clip", "path", "split", "site", "time", "weight")
MAX_CLASSES = 5000


@dataclass(frozen=True)
class Clips:
    """The clips table and the names of its classes.

    Columns of `table`, in this order; those in brackets may be absent:
        clip: str, unique id: the path relative to the root, with `/`.
        path: str, where the file is.
        [split]: str, one of `SPLITS`, or null before splits are assigned.
        [site]: str; [time]: datetime or str as written, never converted; [weight]: float32.
        one Int8 column a class: 1 seen, 0 not seen, null unknown. Null in all of them: unlabelled.
    """

    table: pl.DataFrame
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "table", _cast_columns(self.table, self.classes))

    def __len__(self) -> int:
        return self.table.height

    def targets(self) -> np.ndarray:
        """Return labels as float32 `[N, C]`; nan where unknown."""
        columns = [self.table[c].cast(pl.Float32).fill_null(float("nan")).to_numpy() for c in self.classes]
        return np.stack(columns, axis=1) if columns else np.empty((len(self), 0), np.float32)

    def labels(self) -> np.ndarray:
        """Return labels as bool `[N, C]`: true where the class is known to be in the clip."""
        columns = [(self.table[c].fill_null(0) == 1).to_numpy() for c in self.classes]
        return np.stack(columns, axis=1) if columns else np.empty((len(self), 0), bool)

    def labelled(self) -> pl.Series:
        """Return bool `[N]`: which clips have a known label for any class."""
        if not self.classes:
            return pl.Series("labelled", [False] * len(self), dtype=pl.Boolean)
        known = pl.any_horizontal(pl.col(c).is_not_null() for c in self.classes)
        return self.table.select(known.alias("labelled")).to_series()

    def single(self) -> np.ndarray:
        """Return bool `[N]`: which clips have exactly one class and no unknown one, or are not labelled."""
        targets = self.targets()
        known = np.isfinite(targets)
        return (~known.any(axis=1)) | (known.all(axis=1) & ((targets == 1).sum(axis=1) == 1))

    def splits(self) -> pl.Series:
        """Return str `[N]`: the split of each clip; null where it has none."""
        if "split" in self.table.columns:
            return self.table["split"]
        return pl.Series("split", [None] * len(self), dtype=pl.String)

    def weights(self) -> np.ndarray:
        """Return float32 `[N]`: how much each clip counts in training, 1 by default."""
        if "weight" not in self.table.columns:
            return np.ones(len(self), np.float32)
        return self.table["weight"].fill_null(1).to_numpy().astype(np.float32)

    def of(self, split: str) -> "Clips":
        """Return the clips of one split, in table order."""
        return self.where((self.splits() == split).fill_null(False))

    def where(self, keep: pl.Series) -> "Clips":
        """Return the clips where `keep` (bool `[N]`) is true, in table order."""
        return Clips(self.table.filter(keep), self.classes)

    def with_columns(self, **columns: pl.Series) -> "Clips":
        """Return a copy with columns set or replaced, as in `with_columns(split=..., path=...)`."""
        return Clips(self.table.with_columns(s.alias(name) for name, s in columns.items()), self.classes)

    def limit(self, n: int, seed: int = 0) -> "Clips":
        """Return about `n` clips in table order, chosen by `seed` and not by the order of rows.

        Every class that training has keeps a training clip, and every split keeps two clips, even if that
        takes more than `n`. If training or val has a clip with several classes, or none, one such clip is
        kept, so that the task is still recognised as multilabel. The rest is filled in proportion to the
        splits. Assign splits first.
        """
        if n >= len(self):
            return self
        order = shuffle_rows(self.table["clip"].to_list(), seed)
        labels = self.labels()
        splits = self.splits().fill_null("").to_numpy()[order]
        core = "train" if "train" in splits else ""
        several = ~self.single()
        kept_in = next((s for s in (core, "val") if several[order][splits == s].any()), None)
        whole = {core, kept_in}
        wanted: dict[str, list[int]] = {}
        least: dict[str, int] = {}
        for split in sorted(set(splits.tolist())):
            rows = order[splits == split]
            cover = _cover_classes(rows, labels)
            if split == kept_in and not several[cover].any():
                cover.append(int(rows[int(np.argmax(several[rows]))]))
            wanted[split] = cover + rows[~np.isin(rows, cover)].tolist()
            least[split] = len(cover) if split in whole else 0
            least[split] = max(least[split], min(2, len(rows)))
        take = {s: max(least[s], round(n * len(rows) / len(self))) for s, rows in wanted.items()}
        while sum(take.values()) > max(n, sum(least.values())):
            take[max(take, key=lambda s: take[s] - least[s])] -= 1
        chosen = sorted(i for s, rows in wanted.items() for i in rows[: take[s]])
        return Clips(self.table[chosen], self.classes)

    def counts(self) -> pl.DataFrame:
        """Count the clips of each class and split: columns `class`, one for each split present, and `all`."""
        splits = self.splits().fill_null("no split")
        present = [s for s in (*SPLITS, "no split") if s in set(splits.unique().to_list())]
        grouped = self.table.with_columns(splits.alias("split")).group_by("split")
        sums = grouped.agg((pl.col(c) == 1).sum().cast(pl.Int64) for c in self.classes)
        rows = {r["split"]: r for r in sums.iter_rows(named=True)}
        columns = {s: [rows[s][c] for c in self.classes] for s in present}
        frame = pl.DataFrame(
            {"class": list(self.classes), **columns},
            schema={"class": pl.String, **dict.fromkeys(present, pl.Int64)},
        )
        return frame.with_columns((pl.sum_horizontal(present) if present else pl.lit(0)).alias("all"))

    def write(self, path: str | Path) -> None:
        """Write the table to `path` (.parquet or .csv) in one step."""
        path = Path(path)
        if path.suffix.lower() != ".csv":
            write_parquet(self.table, path)
            return
        write_text(path, self.table.write_csv())

    @classmethod
    def read(cls, path: str | Path) -> "Clips":
        """Read what `write` wrote. Every column that is not one of `META` is a class.

        Raises:
            UserError: the file is missing, broken or not a clips table.
        """
        path = Path(path)
        table = read_table(path, typed=True).frame
        classes = tuple(c for c in table.columns if c not in META)
        try:
            return cls(table, classes)
        except UserError as e:
            raise UserError(f"{path}: {e}") from None


def check_class_names(classes: Sequence[str]) -> None:
    """Check that classes can be columns of the clips table and, after training, of the predictions table.

    Raises:
        UserError: a name cannot be that of a class: see `jungle.names`.
    """
    names.check_class_names(
        classes, "Rename it, or where it is a column of something else, name the classes: data.classes=[...]."
    )


def _cast_columns(table: pl.DataFrame, classes: Sequence[str]) -> pl.DataFrame:
    """Bring the columns of a table into order and to their types.

    Raises:
        UserError: a column is missing, cannot have its type, or a class has the name of another column.
    """
    check_class_names(classes)
    if len(classes) > MAX_CLASSES:
        raise UserError(
            f"{len(classes)} classes are more than {MAX_CLASSES}; name the right label column: "
            "data.label_column=<column>"
        )
    if len(set(classes)) < len(classes):
        twice = next(c for i, c in enumerate(classes) if c in classes[:i])
        raise UserError(f"two classes are named '{names.show(twice)}'; rename one")
    if absent := [c for c in ("clip", "path", *classes) if c not in table.columns]:
        raise UserError(f"not a clips table: column '{names.show(absent[0])}' is missing")
    types: dict[str, pl.DataType | type[pl.DataType]] = {"clip": pl.String, "path": pl.String}
    types |= {c: pl.String for c in ("split", "site") if c in table.columns}
    types |= {"weight": pl.Float32} if "weight" in table.columns else {}
    types |= dict.fromkeys(classes, pl.Int8)
    columns = [c for c in META if c in table.columns] + list(classes)
    try:
        return table.select(pl.col(c).cast(types[c]) if c in types else pl.col(c) for c in columns)
    except pl.exceptions.PolarsError as e:
        raise UserError(f"not a clips table: {names.show(shorten_error(e), 200)}") from None


def shuffle_rows(names: Sequence[str], seed: int) -> np.ndarray:
    """Return row numbers `[N]` in an order that depends on `seed` and the names alone, on any machine."""
    blake = hashlib.blake2b
    salt = f"{seed}:".encode()
    keys = b"".join(blake(salt + name.encode("utf-8", "replace"), digest_size=8).digest() for name in names)
    return np.argsort(np.frombuffer(keys, dtype=">u8"), kind="stable")


def _cover_classes(rows: np.ndarray, labels: np.ndarray) -> list[int]:
    """Choose a few of `rows` that have every class any of them has, rare classes first."""
    here = labels[rows]
    counts = here.sum(axis=0)
    covered = np.zeros(labels.shape[1], bool)
    cover: list[int] = []
    for c in np.argsort(counts, kind="stable"):
        if counts[c] and not covered[c]:
            row = int(rows[int(np.argmax(here[:, c]))])
            cover.append(row)
            covered |= labels[row]
    return cover
