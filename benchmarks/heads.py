"""Train every head on the same stored features with several seeds: the table in `docs/heads.md`.

python benchmarks/heads.py data=csv data.root=/clips data.labels=/clips/labels.csv --seeds 3 --heads mean gru
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from jungle.config import TrainConfig
from jungle.config.compose import compose
from jungle.config.folder import config_dir
from jungle.console import Progress, print_result, speak
from jungle.errors import UsageError, UserError
from jungle.files import write_json, write_text
from jungle.models.backbones.concat import make_backbone
from jungle.training import build, datamodules, evaluation
from jungle.training import clips as training_clips
from jungle.training.evaluation import TrainedRun
from jungle.training.fit import silence_libraries
from jungle.training.run_inputs import gather_current

SCORES = ("val/accuracy", "test/accuracy", "val/log_loss", "test/log_loss")


def bench_heads(
    out: Path, settings: Sequence[str], *, heads: Sequence[str] = (), seeds: int = 3
) -> list[dict[str, Any]]:
    """Train heads; print a table, write `out/heads.json` and `out/heads.md`. A second call resumes.

    All heads share the clips, splits and features of `settings`; a seed changes the initial weights, dropout
    and the order of clips. Each run is that of `jungle train`: its best checkpoint on val is tested.

    Args:
        out: folder for the runs and the table.
        settings: overrides of `jungle train`, with a frozen model.
        heads: a head's name and settings each, as in `attention head.score=tanh`; empty for all heads.
        seeds: runs of each head.

    Returns:
        A dict per head, the best on val first: `head`, `runs`, `seconds` (of one run), and for each score its
        mean and, as `<score>/sd`, its standard deviation over the seeds.

    Raises:
        UsageError: an unknown setting or head, or a model that is not frozen.
    """
    folder = config_dir()
    names = list(heads) or sorted(f.stem for f in (folder / "head").glob("*.yaml"))
    if seeds < 1:
        raise UsageError(f"--seeds={seeds}: give 1 or more")
    configs = {n: compose("train", [*settings, *f"head={n}".split()], folder) for n in names}
    first = configs[names[0]]
    if first.model.mode != "frozen":
        raise UsageError(
            f"model.mode={first.model.mode}: heads train on stored features; give a frozen model, as in "
            "model=frozen"
        )
    if first.searched:
        raise UsageError(f"{first.searched[0]}=auto: heads are compared at one setting; give a number")
    shared = _Runs(out, first)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in configs}
    with Progress("bench heads", len(configs) * seeds) as bar:
        for name, cfg in configs.items():
            for seed in range(seeds):
                runs[name].append(shared.run(cfg.model_copy(update={"seed": seed, "report": False}), name))
                bar.advance(note=f"{name}: {runs[name][-1]['val/log_loss']:.4f}")
    shared.close()
    rows = [_row(name, of_head) for name, of_head in runs.items()]
    rows.sort(key=lambda r: r["val/log_loss"])
    write_json(out / "heads.json", rows)
    table = _markdown(rows)
    write_text(out / "heads.md", table)
    print_result(table)
    return rows


class _Runs:
    """The clips and features that all runs share, read when the first run needs them."""

    def __init__(self, out: Path, cfg: TrainConfig) -> None:
        self.out, self.cfg = out, cfg
        self._inputs: tuple[Any, ...] | None = None

    @cached_property
    def inputs(self) -> str:
        """Hash of the labels, clips and files that the runs train on."""
        return gather_current(self.cfg).digest

    def run(self, cfg: TrainConfig, name: str) -> dict[str, float]:
        """Return the scores of one run, from its files where it has finished before."""
        folder = self.out / "runs" / f"{name.replace(' head.', ',')}-{cfg.seed}"
        done = folder / "bench.json"
        settings_hash = f"{cfg.fingerprint()}-{self.inputs}"
        if done.is_file() and (kept := json.loads(done.read_text()))["settings"] == settings_hash:
            return kept["scores"]
        shutil.rmtree(folder, ignore_errors=True)  # interrupted, or of other settings
        folder.mkdir(parents=True)
        began = time.monotonic()
        self._train(cfg, folder)
        metrics = json.loads((folder / "metrics.json").read_text())
        scores = {k: v for k, v in metrics.items() if "/class/" not in k}
        scores["seconds"] = time.monotonic() - began
        shutil.rmtree(folder / "checkpoints")
        write_json(done, {"settings": settings_hash, "scores": scores})
        return scores

    def _train(self, cfg: TrainConfig, folder: Path) -> None:
        silence_libraries()
        clips, task, inputs, about, data = self._shared()
        pl.seed_everything(cfg.seed, workers=True, verbose=False)
        data.seed = cfg.seed
        trainer = build.build_trainer(cfg, folder, False)
        model = build.build_model(cfg, inputs.backbone, clips, task, about)
        trainer.fit(model, datamodule=data)
        evaluation.evaluate(TrainedRun(cfg, folder, clips, data, inputs.eval_spec, model), trainer)

    def _shared(self) -> tuple[Any, ...]:
        if self._inputs is None:
            cfg = self.cfg
            clips, missing = training_clips.load(cfg)
            backbone = make_backbone(build.make_backbone_spec(cfg))
            inputs = datamodules.resolve_model_inputs(cfg, None, clips, backbone, backbone.weights_hash())
            about = datamodules.make_checkpoint_metadata(cfg, clips, inputs)
            extras = datamodules.ClipExtras(missing=missing)
            data = datamodules.build_datamodule(cfg, clips, inputs, extras)
            datamodules.check_left_out(clips, data, cfg.max_failed_fraction, missing)
            self._inputs = clips, build.resolve_task(cfg, clips), inputs, about, data
        return self._inputs

    def close(self) -> None:
        """Close the data module."""
        if self._inputs is not None:
            datamodules.close_datamodule(self._inputs[-1])


def _row(name: str, runs: list[dict[str, float]]) -> dict[str, Any]:
    row: dict[str, Any] = {"head": name, "runs": len(runs)}
    row["seconds"] = statistics.mean(r["seconds"] for r in runs)
    for score in (s for s in SCORES if all(s in r for r in runs)):
        values = [r[score] for r in runs]
        row[score] = statistics.mean(values)
        row[f"{score}/sd"] = statistics.stdev(values) if len(values) > 1 else 0.0
    return row


def _markdown(rows: list[dict[str, Any]]) -> str:
    scores = [s for s in SCORES if s in rows[0]]
    lines = [
        "| head | " + " | ".join(s.replace("/", " ").replace("_", " ") for s in scores) + " | s a run |",
        "| --- |" + " ---: |" * (len(scores) + 1),
    ]
    for row in rows:
        cells = [f"{row[s]:.3f} ± {row[f'{s}/sd']:.3f}" for s in scores]
        lines.append(f"| {row['head']} | {' | '.join(cells)} | {row['seconds']:.0f} |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str]) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="*", help="as of jungle train: data=csv data.root=/clips ...")
    parser.add_argument("--out", type=Path, default=Path("runs/bench/heads"), help="folder")
    parser.add_argument("--heads", nargs="+", default=[], help="as in mean 'attention head.score=tanh'")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args(argv)
    speak()
    bench_heads(args.out, args.settings, heads=args.heads, seeds=args.seeds)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as e:
        sys.exit(f"error: {e}")
