"""`jungle export`: an earlier prediction in the formats of other programs."""

from pathlib import Path

from jungle.config import ExportConfig, parse_config
from jungle.config.export import ExportOptions
from jungle.console import log, print_result
from jungle.data import predictions
from jungle.errors import UsageError
from jungle.export import ExportSettings, check_settings, write_exports
from jungle.export.settings import describe_model
from jungle.files import describe_absent, read_json
from jungle.prediction.writer import PLAN, RESULTS
from jungle.system import share_of_cores
from jungle.wording import tally


def main(raw: object) -> None:
    """Write the formats asked for, and name each file."""
    cfg = parse_config(ExportConfig, raw)
    file = _find_table(cfg.source)
    folder = file.parent
    settings = ExportSettings(
        formats=tuple(cfg.formats),
        out=cfg.out or folder,
        model=describe_model(read_json(folder / PLAN).get("ckpt")),
        cache=cfg.paths.cache,
        workers=share_of_cores() if cfg.workers is None else cfg.workers,
        **{name: getattr(cfg, name) for name in ExportOptions.model_fields if name != "workers"},
    )
    check_settings(settings)
    table = predictions.read(file)
    log.info(f"{tally(len(table), 'clips')} of {file}")
    for word, path in write_exports(folder, table, settings):
        print_result(f"{word}: {path}")


def _find_table(given: Path) -> Path:
    """Return the predictions table of a folder, or a table itself.

    Raises:
        UsageError: there is none.
    """
    file = given / RESULTS[0] if given.is_dir() else given
    if not file.is_file():
        where = f"{given}: holds no {RESULTS[0]}" if given.is_dir() else f"{given}: {describe_absent(given)}"
        raise UsageError(f"from={where.rstrip('.')}; give the folder that jungle predict wrote (its out=)")
    if file.suffix != ".parquet":
        raise UsageError(f"from={given}: give the folder of the prediction, or its {RESULTS[0]}")
    return file
