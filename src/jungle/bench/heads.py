"""Trains every head on the same stored features, over several seeds, and sets them side by side."""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from jungle.console import Progress, result, timed
from jungle.errors import UsageError
from jungle.files import write_json, write_text

SHOWN = ("val/accuracy", "test/accuracy", "val/log_loss", "test/log_loss")


def bench_heads(
    out: Path, settings: Sequence[str], *, heads: Sequence[str] = (), seeds: int = 3
) -> list[dict[str, Any]]:
    """Train heads; print a table, write `out/heads.json` and `out/heads.md`. Goes on where it was stopped.

    The clips, their splits and their features are those of `settings` and the same for all; a seed moves the
    initial weights, dropout and the order of clips. Each run is as `jungle train` makes it: the checkpoint is
    the best of the run on val, and is what the test split sees.

    Args:
        out: folder for the runs and the table.
        settings: overrides of `jungle train`, of a frozen model.
        heads: each a head's name and settings, as in `attention head.score=tanh`; all heads if not given.
        seeds: runs of each head.

    Returns:
        One dict a head, the best on val first: `head`, `runs`, `seconds` (of one run), and for each score the
        mean and, as `<score>/sd`, the standard deviation over the seeds.

    Raises:
        UsageError: a setting or head that there is not, or a model that is not frozen.
    """
    from jungle.config.compose import composed
    from jungle.config.folder import config_dir

    folder = config_dir()
    names = list(heads) or sorted(f.stem for f in (folder / "head").glob("*.yaml"))
    if seeds < 1:
        raise UsageError(f"--seeds={seeds}: one seed at least")
    configs = {n: composed("train", [*settings, *f"head={n}".split()], folder) for n in names}
    first = configs[names[0]]
    if first.model.mode != "frozen":
        raise UsageError("bench heads trains on stored features: give a frozen model, as in model=frozen")
    if first.searched:
        raise UsageError(
            f"bench heads compares heads at one setting: {first.searched[0]}=auto must be a number"
        )
    bench = _Bench(out, first)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in configs}
    with Progress("bench heads", len(configs) * seeds) as bar:
        for name, cfg in configs.items():
            for seed in range(seeds):
                runs[name].append(bench.run(cfg.model_copy(update={"seed": seed, "report": False}), name))
                bar.advance(note=f"{name}: {runs[name][-1]['val/log_loss']:.4f}")
    bench.close()
    rows = [_row(name, of_head) for name, of_head in runs.items()]
    rows.sort(key=lambda r: r["val/log_loss"])
    write_json(out / "heads.json", rows)
    table = _markdown(rows)
    write_text(out / "heads.md", table)
    result(table)
    return rows


class _Bench:
    """The clips and features that all runs share; made when the first run needs them."""

    def __init__(self, out: Path, cfg: Any) -> None:
        self.out, self.cfg = out, cfg
        self._made: tuple[Any, ...] | None = None

    @cached_property
    def inputs(self) -> str:
        """Hash of the labels, clips and files that the runs learn from."""
        from jungle.training.run_inputs import current

        return current(self.cfg).digest

    def run(self, cfg: Any, name: str) -> dict[str, float]:
        """Return the scores of one run, of its files where it was made before."""
        folder = self.out / "runs" / f"{name.replace(' head.', ',')}-{cfg.seed}"
        done = folder / "bench.json"
        made_of = f"{cfg.fingerprint()}-{self.inputs}"
        if done.is_file() and (kept := json.loads(done.read_text()))["settings"] == made_of:
            return kept["scores"]
        shutil.rmtree(folder, ignore_errors=True)  # a run that was cut off, or of other settings
        folder.mkdir(parents=True)
        began = time.monotonic()
        self._train(cfg, folder)
        metrics = json.loads((folder / "metrics.json").read_text())
        scores = {k: v for k, v in metrics.items() if "/class/" not in k}
        scores["seconds"] = time.monotonic() - began
        shutil.rmtree(folder / "checkpoints")
        write_json(done, {"settings": made_of, "scores": scores})
        return scores

    def _train(self, cfg: Any, folder: Path) -> None:
        import pytorch_lightning as pl

        from jungle.training import build, evaluation
        from jungle.training.fit import quiet

        quiet()
        clips, task, backbone, about, data = self._shared()
        pl.seed_everything(cfg.seed, workers=True, verbose=False)
        data.seed = cfg.seed
        trainer = build.trainer_of(cfg, folder, False)
        model = build.model_of(cfg, backbone, clips, task, about)
        trainer.fit(model, datamodule=data)
        evaluation.finish(cfg, folder, trainer, model, data, clips)

    def _shared(self) -> tuple[Any, ...]:
        if self._made is None:
            from jungle.models.backbones.concat import make_backbone
            from jungle.prediction import metadata
            from jungle.training import build
            from jungle.training import clips as training_clips
            from jungle.training import datamodules as inputs

            cfg = self.cfg
            clips, lost = training_clips.load(cfg)
            backbone = make_backbone(build.backbone_spec(cfg))
            weights_hash = backbone.weights_hash()
            spec = build.clip_specs(cfg, backbone)[1]
            known = metadata.of_training(cfg, clips, inputs.workers_of(cfg))
            about = training_clips.about(clips, spec, weights_hash, known)
            with timed("features"):
                data, _ = inputs.stored_features(cfg, clips, backbone, spec, weights_hash)
            data.facts = known
            data.failures.update(lost)
            data.left_out |= set(data.failures)
            inputs.check_left(clips, data, cfg.max_failed_fraction)
            self._made = clips, build.task_of(cfg, clips), backbone, about, data
        return self._made

    def close(self) -> None:
        """End what the clips were read with."""
        if self._made is not None:
            from jungle.training import datamodules as inputs

            inputs.close(self._made[-1])


def _row(name: str, runs: list[dict[str, float]]) -> dict[str, Any]:
    row: dict[str, Any] = {"head": name, "runs": len(runs)}
    row["seconds"] = statistics.mean(r["seconds"] for r in runs)
    for score in (s for s in SHOWN if all(s in r for r in runs)):
        values = [r[score] for r in runs]
        row[score] = statistics.mean(values)
        row[f"{score}/sd"] = statistics.stdev(values) if len(values) > 1 else 0.0
    return row


def _markdown(rows: list[dict[str, Any]]) -> str:
    scores = [s for s in SHOWN if s in rows[0]]
    lines = [
        "| head | " + " | ".join(s.replace("/", " ").replace("_", " ") for s in scores) + " | s a run |",
        "| --- |" + " ---: |" * (len(scores) + 1),
    ]
    for row in rows:
        cells = [f"{row[s]:.3f} ± {row[f'{s}/sd']:.3f}" for s in scores]
        lines.append(f"| {row['head']} | {' | '.join(cells)} | {row['seconds']:.0f} |")
    return "\n".join(lines) + "\n"
