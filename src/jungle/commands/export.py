"""`jungle export`: an earlier prediction in the formats of other programs."""

from jungle.config import ExportConfig, parse_config
from jungle.config.export import ExportOptions
from jungle.console import log, print_result
from jungle.export import ExportSettings, check_settings, write_exports
from jungle.export.settings import describe_model
from jungle.files import read_json
from jungle.postprocessing.labelled import read_predictions
from jungle.prediction.writer import PLAN
from jungle.system import share_of_cores
from jungle.wording import tally


def main(raw: object) -> None:
    """Write the formats asked for, and name each file."""
    cfg = parse_config(ExportConfig, raw)
    folder = cfg.source if cfg.source.is_dir() else cfg.source.parent
    settings = ExportSettings(
        formats=tuple(cfg.formats),
        out=cfg.out or folder,
        model=describe_model(read_json(folder / PLAN).get("ckpt")),
        cache=cfg.paths.cache,
        workers=share_of_cores() if cfg.workers is None else cfg.workers,
        **{name: getattr(cfg, name) for name in ExportOptions.model_fields if name != "workers"},
    )
    check_settings(settings)
    table = read_predictions(cfg.source)
    log.info(f"{tally(len(table), 'clips')} of {cfg.source}")
    for word, path in write_exports(folder, table, settings):
        print_result(f"{word}: {path}")
