"""Rounds of the model's own soft labels, and training with a table of them, as a user starts them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from jungle.cli import overrides
from jungle.config.folder import config_dir
from jungle.data import predictions
from jungle.data.clips import Clips
from jungle.data.loader import ClipLoader
from jungle.errors import UsageError, UserError
from jungle.metrics.running import RunningScores
from jungle.models.backbones.backbone import Backbone
from jungle.models.checkpoint import load_checkpoint
from jungle.training import build, fit
from jungle.training.callbacks import History
from jungle.training.checkpointing import Last, has_ended
from jungle.training.pseudo_label_rounds import Rounds
from tests.conftest import Command, survey_args


def settings(survey: Path, labels: Path, root: Path) -> list[str]:
    return [
        *survey_args(survey, labels),
        f"paths.cache={root}/cache",
        "model=frozen",
        "model.backbone=test_efficientnet",
        "model.pretrained=false",
        "model.size=64x96",
        "data.batch_size=6",
        "trainer.max_epochs=2",
        "callbacks=no_early_stopping",
    ]


def relabelled(words: list[str], labels: Path) -> list[str]:
    return [*(w for w in words if not w.startswith("data.labels=")), f"data.labels={labels}"]


@pytest.fixture(scope="module")
def part(survey: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A survey of which one site has no labels: 18 clips to train on, 6 each of val, test and unlabelled."""
    root = tmp_path_factory.mktemp("part")
    rows = (survey / "labels.csv").read_text().splitlines()
    bare = [f"{r.split(',')[0]},,,site3" if r.endswith(",site3") else r for r in rows]
    (root / "labels.csv").write_text("\n".join(bare) + "\n")
    return settings(survey, root / "labels.csv", root)


def run(part: list[str], folder: Path, *more: str) -> dict[str, Any]:
    fit.fit(overrides.compose("train", [*part, *more], config_dir()), folder)
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def make_rounds(*, epochs: int, rounds: int, share: float, patience: int | None) -> Rounds:
    return Rounds(
        epochs=epochs,
        rounds=rounds,
        part=None,
        weight=1.0,
        share=share,
        seed=0,
        monitor="val/log_loss",
        mode="min",
        patience=patience,
    )


ROUNDS = ("data.pseudo=self", "data.pseudo_rounds=2", "data.pseudo_part=0.75")


class Enough(Exception):
    """The run is cut off here."""


def stop_at_step(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(self: Last, trainer: Any, *_: Any) -> None:
        if trainer.global_step == step:
            self._save(trainer)
            raise Enough

    monkeypatch.setattr(Last, "on_train_batch_end", end)


def stop_after_epoch(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(self: Last, trainer: Any, *_: Any) -> None:
        self._save(trainer)
        if trainer.current_epoch == epoch:
            raise Enough

    monkeypatch.setattr(Last, "on_train_epoch_end", end)


def test_rounds_that_were_cut_off_go_on_as_if_they_had_not_been(
    part: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The rate falls at every epoch that is no better.
    how = (
        *ROUNDS,
        "optim=primatrix",
        "optim.plateau.first_patience=1",
        "optim.plateau.patience=1",
        "optim.lr=3e-3",
    )
    whole = run(part, tmp_path / "whole", *how)
    assert whole["epoch"] == 3
    made: list[int] = []

    def watched(self: Rounds, trainer: Any, *args: Any, once: Any = Rounds._predict) -> Any:
        made.append(trainer.current_epoch)
        return once(self, trainer, *args)

    # Three steps an epoch, then five a round. Within a round its labels are kept, at its start they are made.
    for stop, at, again_in in ((stop_at_step, 8, [3]), (stop_after_epoch, 1, [2, 3])):
        folder = tmp_path / stop.__name__
        with monkeypatch.context() as patch:
            stop(at, patch)
            with pytest.raises(Enough):
                run(part, folder, *how)
        made.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Rounds, "_predict", watched)
            again = run(part, folder, *how)
        assert made == again_in
        for name, value in whole["state_dict"].items():
            torch.testing.assert_close(again["state_dict"][name], value, rtol=0, atol=0, msg=name)


def test_a_round_mixes_clips_that_have_no_label(
    part: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, Any]] = []
    collated = ClipLoader._collate

    def watched(self: ClipLoader, batch: list) -> dict:
        made = collated(self, batch)
        if self.train:
            seen.append((self.epoch_now(), made))
        return made

    monkeypatch.setattr(ClipLoader, "_collate", watched)
    run(part, tmp_path / "run", *ROUNDS, "data.pseudo_share=0.5", "data.pseudo_weight=0.25")
    split = pl.read_parquet(tmp_path / "run" / "clips.parquet")["split"].to_numpy()
    assert [e for e, _ in seen] == [0] * 3 + [1] * 3 + [2] * 6 + [3] * 6
    drawn: dict[int, list[int]] = {2: [], 3: []}
    learnt: dict[int, list[int]] = {0: [], 1: [], 2: [], 3: []}
    for epoch, batch in seen:
        numbers = batch["number_B"].numpy()
        soft = np.isin(split[numbers], ["test", "unlabelled"])
        assert soft.sum() == (len(numbers) // 2 if epoch > 1 else 0)
        assert set(split[numbers[~soft]]) == {"train"}
        targets = batch["targets_BC"].numpy()
        assert np.isin(targets[~soft], [0, 1]).all()
        assert not np.isin(targets[soft], [0, 1]).any()
        np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-5)
        assert (batch["weight_B"].numpy() == np.where(soft, 0.25, 1)).all()
        learnt[epoch] += numbers[~soft].tolist()
        if epoch > 1:
            drawn[epoch] += numbers[soft].tolist()
    # Every epoch and round is one pass over the labelled clips; the part is drawn once for all rounds.
    assert all(sorted(numbers) == np.flatnonzero(split == "train").tolist() for numbers in learnt.values())
    assert {len(set(d)) for d in drawn.values()} == {9}  # three quarters of twelve
    assert set(drawn[2]) == set(drawn[3])
    assert drawn[2] != drawn[3]


def test_rounds_begin_where_early_stopping_ends_and_from_the_best_epoch(
    part: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the third place: its plateau's rate, best weights and optimizer; no fall of the rate in rounds."""
    losses = iter([0.5, 0.4, 0.6, 0.7, 0.8, 0.9])
    kept: dict[Any, Any] = {}

    def told(self: RunningScores, once: Any = RunningScores.compute) -> Any:
        return {**once(self), "log_loss": next(losses)}

    def state(trainer: Any, model: Any) -> tuple[Any, float, float]:
        optimizer = trainer.optimizers[0]
        step = float(next(iter(optimizer.state.values()))["step"])
        return model.head.classify[-1].weight.clone(), step, optimizer.param_groups[0]["lr"]

    def ended(self: History, trainer: Any, model: Any, once: Any = History.on_train_epoch_end) -> None:
        kept[trainer.current_epoch] = state(trainer, model)
        once(self, trainer, model)

    def watched(self: Rounds, trainer: Any, model: Any, *args: Any, once: Any = Rounds._predict) -> Any:
        kept["start", trainer.current_epoch] = state(trainer, model)
        return once(self, trainer, model, *args)

    monkeypatch.setattr(RunningScores, "compute", told)
    monkeypatch.setattr(History, "on_train_epoch_end", ended)
    monkeypatch.setattr(Rounds, "_predict", watched)
    early = ("callbacks=default", "callbacks.patience=2", "trainer.max_epochs=9", "optim=primatrix")
    early += ("optim.plateau.first_patience=1", "optim.plateau.patience=1")  # falls at once
    last = run(part, tmp_path / "run", *ROUNDS, *early)
    assert last["epoch"] == 5  # four epochs, of which the second is the best, and two rounds
    assert has_ended(last, 11)
    assert last["callbacks"]["Rounds"]["kept"] is None
    assert [k for k in kept if isinstance(k, tuple)] == [("start", 4), ("start", 5)]
    assert torch.equal(kept["start", 4][0], kept[1][0])
    assert not torch.equal(kept["start", 4][0], kept[3][0])
    assert [kept[k][1] for k in (1, 3, ("start", 4), 4, 5)] == [6, 12, 6, 11, 16]
    rates = [kept[k][2] for k in (1, 3, ("start", 4), 4, 5)]
    assert rates == pytest.approx([1e-3, 7e-4, 1e-3, 1e-3, 1e-3])
    best = load_checkpoint(tmp_path / "run" / "checkpoints" / "best.ckpt").model
    assert torch.equal(best.head.classify[-1].weight, kept[1][0])


def test_the_fall_of_a_rate_is_not_lost_by_a_stop(
    part: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0]

    def told(self: RunningScores, once: Any = RunningScores.compute) -> Any:
        return {**once(self), "log_loss": [0.5, 0.6, 0.7][now[0]]}

    def begun(self: History, trainer: Any, _: Any) -> None:
        now[0] = trainer.current_epoch

    monkeypatch.setattr(RunningScores, "compute", told)
    monkeypatch.setattr(History, "on_train_epoch_start", begun)
    how = (
        "optim=primatrix",
        "optim.plateau.first_patience=1",
        "optim.plateau.patience=1",
        "trainer.max_epochs=3",
    )
    with monkeypatch.context() as patch:
        stop_after_epoch(1, patch)
        with pytest.raises(Enough):
            run(part, tmp_path / "run", *how)
    resumed = run(part, tmp_path / "run", *how)
    assert resumed["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(4.9e-4)


@pytest.mark.parametrize(
    ("labelled", "batch", "share", "clips"),
    [(163_304, 64, 0.3125, 74_260), (163_304, 48, 0.25, 54_456), (163_304, 48, 0.3333, 81_680)],
)
def test_the_part_is_as_large_as_the_third_places(
    labelled: int, batch: int, share: float, clips: int
) -> None:
    """Four fifths of 204,130 clips; 85 % of the 87,485 test clips where a batch is 44 and 20."""
    free = np.arange(labelled, labelled + 87_485)
    data: Any = SimpleNamespace(
        free_numbers=free, batch_size=batch, numbers=lambda *_, **__: np.arange(labelled)
    )
    made = make_rounds(epochs=15, rounds=5, share=share, patience=3)._draw_part(data)
    assert len(set(made.tolist())) == clips
    assert np.isin(made, free).all()


def test_a_schedule_spans_epochs_and_longer_rounds(part: list[str], tmp_path: Path) -> None:
    last = run(part, tmp_path / "run", *ROUNDS, "optim.warmup=0", "data.pseudo_share=0.5")
    (schedule,) = last["lr_schedulers"]
    assert schedule["last_epoch"] == 3 + 3 + 6 + 6
    assert schedule["_last_lr"][0] == pytest.approx(0, abs=1e-12)  # a cosine that ends with the last step
    before = run(part, tmp_path / "half", *ROUNDS, "optim.schedule=onecycle", "data.pseudo_share=0.5")
    assert before["lr_schedulers"][0]["last_epoch"] == 18


@pytest.mark.parametrize("kind", ["attention", "gru"])
def test_the_third_places_heads_train_to_the_letter(part: list[str], tmp_path: Path, kind: str) -> None:
    """On clips of fewer frames than places, rounds included; what is saved answers as it did."""
    head = [f"head=primatrix_{kind}_original", "head.hidden=8", *(["head.units=4"] if kind == "gru" else [])]
    clips = ["frames=fps_start", "frames.fps=2", "frames.count=20", "data.metadata=index", "data.workers=1"]
    run(part, tmp_path / "run", *ROUNDS, *head, *clips, "optim=primatrix", "callbacks.patience=1")
    loaded = load_checkpoint(tmp_path / "run" / "checkpoints" / "best.ckpt")
    assert loaded.clip_spec.frames.kind == "fps_start"
    answered = predictions.read(tmp_path / "run" / "predictions_test.parquet")
    assert answered["status"].to_list() == ["ok"] * 6
    frames = [len(times) for times in answered["times"]]
    assert max(frames) < loaded.model.head_values["frames"] == 20
    assert [times[0] for times in answered["times"]] == [0] * 6
    assert [len(a) for a in answered["attention"]] == frames
    assert np.allclose([sum(a) for a in answered["attention"]], 1)


def test_rounds_of_version_0_1_are_not_gone_on_with() -> None:
    rounds = make_rounds(epochs=2, rounds=2, share=0.5, patience=None)
    nothing: Any = None
    rounds.on_load_checkpoint(nothing, nothing, {"callbacks": {"Rounds": {}}})
    with pytest.raises(UserError, match="resume=never"):
        rounds.on_load_checkpoint(nothing, nothing, {"callbacks": {}})


def test_a_table_is_trained_on_and_test_labels_are_not_read(part: list[str], tmp_path: Path) -> None:
    labels = [p for p in part if p.startswith("data.labels=")][-1]  # the last one holds
    rows = Path(labels.split("=")[1]).read_text().splitlines()
    swap = {"lion": "hog", "hog": "blank", "blank": "lion"}
    other = [",".join([(w := r.split(","))[0], swap[w[1]], *w[2:]]) if ",test," in r else r for r in rows]
    (tmp_path / "other.csv").write_text("\n".join(other) + "\n")
    plain = run(part, tmp_path / "plain")
    table = f"data.pseudo={tmp_path / 'plain' / 'predictions_test.parquet'}"
    weights = [
        run(words, tmp_path / f"run{i}", table)["state_dict"]
        for i, words in enumerate((part, relabelled(part, tmp_path / "other.csv")))
    ]
    assert all(torch.equal(v, weights[1][k]) for k, v in weights[0].items())
    assert not all(torch.equal(v, plain["state_dict"][k]) for k, v in weights[0].items())
    val = f"data.pseudo={tmp_path / 'plain' / 'predictions_val.parquet'}"
    with pytest.raises(UserError, match="6 clips are of the val split"):
        run(part, tmp_path / "refused", val)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["data.pseudo=self", "sampler=mixed"], "sampler=natural"),
        (["data.pseudo_share=0.5"], "add data.pseudo"),
        (["data.pseudo=table.csv", "data.pseudo_rounds=3"], "are of data.pseudo=self"),
        (["data.pseudo=self", "data.pseudo_share=1"], "pseudo_share"),
    ],
)
def test_what_does_not_fit_together_is_refused(part: list[str], more: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        overrides.compose("train", [*part, *more], config_dir())


def test_rounds_need_clips_without_a_label(survey: Path, part: list[str], tmp_path: Path) -> None:
    rows = (survey / "labels.csv").read_text().splitlines()
    (tmp_path / "labels.csv").write_text("\n".join(r for r in rows if ",test," not in r) + "\n")
    with pytest.raises(UsageError, match="no clip without a label"):
        run(relabelled(part, tmp_path / "labels.csv"), tmp_path / "run", *ROUNDS)


def test_the_priors_that_are_undone_are_those_of_the_mixed_batches(part: list[str]) -> None:
    cfg = overrides.compose(
        "train", [*part, "sampler=balanced", "data.pseudo=p.csv", "data.pseudo_share=0.25"], config_dir()
    )
    prior_C = np.array([0.5, 0.375, 0.125])
    labels = np.repeat(np.arange(3), (4, 3, 1))
    names = [f"c{i}.mp4" for i in range(8)]
    table = pl.DataFrame({"clip": names, "path": names, "split": ["train"] * 8})
    table = table.with_columns(pl.Series(c, (labels == i).astype(int)) for i, c in enumerate("abc"))
    backbone = Backbone(build.make_backbone_spec(cfg))
    shift = build.build_model(cfg, backbone, Clips(table, tuple("abc")), "exclusive", {}).about["prior_shift"]
    mixed_C = 0.75 / 3 + 0.25 * prior_C  # by class where labelled, as they are where not
    np.testing.assert_allclose(list(shift.values()), np.log(mixed_C / prior_C), atol=1e-5)


@pytest.mark.slow
def test_rounds_on_two_devices_from_videos(part: list[str], command: Command, tmp_path: Path) -> None:
    tuned = [
        "model=finetune",
        "model.backbone=test_efficientnet",
        "model.pretrained=false",
        "model.size=64x96",
    ]
    short = ["trainer=ddp_sim", "trainer.max_epochs=1", "data.pseudo_rounds=1"]
    done = command("train", *part, *tuned, *ROUNDS, *short, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "round 1: soft labels for 9 of 12 clips" in done.stderr
    run_folder = tmp_path / "runs" / "train" / "latest"
    assert len(predictions.read(run_folder / "predictions_test.parquet")) == 6
    saved = torch.load(run_folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert len(saved["ClipData"]["soft"]["numbers"]) == 9
