"""Predictions in other people's formats."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from jungle.console import mute_log
from jungle.data import predictions
from jungle.data.table_io import read_table
from jungle.errors import UsageError, suggest
from jungle.export import camtrap_dp, folders, megadetector, tables
from jungle.export.clip_facts import FACTS, add_facts
from jungle.export.settings import Exporter, ExportSettings, Results
from jungle.names import show
from jungle.postprocessing.seen import DECISION, find_seen, find_task

__all__ = ["EXPORTERS", "ExportSettings", "Exporter", "Results", "check_settings", "write_exports"]

EXPORTERS: Mapping[str, Exporter] = {
    "wide": Exporter(tables.write_wide),
    "long": Exporter(tables.write_long),
    "events": Exporter(tables.write_events, needs=frozenset({"time", "duration"})),
    "zamba": Exporter(tables.write_zamba),
    "megadetector": Exporter(megadetector.write, needs=frozenset({"fps"})),
    "camtrap_dp": Exporter(
        camtrap_dp.write, needs=frozenset({"time", "duration"}), check=camtrap_dp.read_inputs
    ),
    "folders": Exporter(folders.write),
}


def check_settings(settings: ExportSettings) -> None:
    """Refuse formats that do not exist, and settings that a format lacks.

    Raises:
        UserError: in one line, with what to give.
    """
    for word in settings.formats:
        if word not in EXPORTERS:
            raise UsageError(f"formats={show(word)} is not valid.{suggest(word, EXPORTERS)}")
        with mute_log():  # writing reads the same tables again, and reports on them
            EXPORTERS[word].check(settings)


def write_exports(folder: Path, table: pl.DataFrame, settings: ExportSettings) -> list[tuple[str, Path]]:
    """Write the formats that the settings name, from a table of predictions.

    Args:
        folder: of the prediction, where its decisions are looked for.
        table: of predictions (`jungle.data.predictions`).
        settings: see `ExportSettings`.

    Returns:
        The format and the path of each file or folder that was written, in the order of the formats.

    Raises:
        UserError: a setting, or a table that one names, is missing or wrong.
    """
    check_settings(settings)
    own = (*FACTS, DECISION)
    classes = tuple(c for c in predictions.get_classes(table) if c not in own)
    needs = frozenset().union(*(EXPORTERS[word].needs for word in settings.formats))
    decisions = _read_decisions(folder, table, settings)
    task = find_task(table, classes) if settings.task == "auto" else settings.task
    seen = find_seen(table, classes, task=task, threshold=settings.threshold, decisions=decisions)
    results = Results(add_facts(table, settings, needs), classes, task, seen)
    settings.out.mkdir(parents=True, exist_ok=True)
    return [(word, path) for word in settings.formats for path in EXPORTERS[word].write(results, settings)]


def _read_decisions(folder: Path, table: pl.DataFrame, settings: ExportSettings) -> pl.DataFrame | None:
    """Return the decisions of a prediction: those of a table of their own first, if any."""
    file = settings.decisions or folder / "decisions.parquet"
    if settings.decisions is None and not file.is_file():
        return table.select("clip", DECISION) if DECISION in table.columns else None
    found = read_table(file, typed=True).frame
    if lost := [c for c in ("clip", DECISION) if c not in found.columns]:
        raise UsageError(f"{file}: not a table of decisions: it lacks the column {lost[0]}")
    if not set(found["clip"]) & set(table["clip"]):
        raise UsageError(f"{file}: none of its clips was predicted: give the table of this prediction")
    return found.unique("clip", keep="last", maintain_order=True)
