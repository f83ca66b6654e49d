"""`jungle train`: from labelled clips to a checkpoint, its predictions and a report."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from jungle import runs, system
from jungle.config import TrainConfig, parse_config, resuming
from jungle.console import log, print_result
from jungle.errors import UsageError, UserError
from jungle.files import write_text
from jungle.training.fit import fit
from jungle.training.run_inputs import Comparison


def main(raw: object) -> None:
    """Train as a composed config says, or go on with the run in its folder."""
    cfg = parse_config(TrainConfig, raw)
    folder = Path(HydraConfig.get().runtime.output_dir)
    best = folder / "checkpoints" / "best.ckpt"
    system.end_with_starter()
    if system.get_rank() > 0:
        fit(cfg, folder)
        return
    with runs.hold(folder):
        done = runs.state(folder)
        if "fingerprint" not in done and any((folder / "checkpoints").glob("*.ckpt")):
            raise UsageError(
                f"{folder} has checkpoints, but no {runs.STATE} that says of which settings; choose another "
                f"folder, or delete {folder / 'checkpoints'}"
            )
        other = resuming.compare_settings(folder, cfg)
        if other is not None and not other.is_a_move:
            raise UsageError(f"{folder} holds a run of other settings ({other}); choose another folder")
        finished = done.get("state") == "finished" and best.is_file()
        if other is not None or finished:
            runs.check_unchanged(folder, Comparison(cfg).changes_in(folder))
        if other is not None:
            log.info(f"{folder} resumes with the same contents in other places: {other}")
        if finished:
            log.info(f"{folder} is finished already")
        else:
            if done:
                log.info(f"going on with the unfinished run in {folder}")
            runs.mark(folder, cfg.fingerprint(), "running")
            resuming.save_settings(folder, cfg)
            write_text(folder / "config.yaml", OmegaConf.to_yaml(raw, resolve=True))
            if best.is_file() and runs.has_latest(cfg.paths.runs, folder):
                runs.point_latest(folder)  # a new run is pointed at when it has a best checkpoint
            try:
                fit(cfg, folder)
            except Exception as e:
                why = (str(e).splitlines() or [type(e).__name__])[0]
                runs.mark(folder, cfg.fingerprint(), "running", why)
                if isinstance(e, UserError) and not done and runs.has_latest(cfg.paths.runs, folder):
                    runs.remove_refused(folder)
                raise
    print_result(f"best checkpoint: {best}")
