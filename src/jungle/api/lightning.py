"""Clips as a Lightning data module, which also makes a model for them, for a trainer of your own.

docs/lightning.md shows it in ten lines.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
from pytorch_lightning import LightningDataModule

from jungle.config import TrainConfig, check
from jungle.config.compose import compose
from jungle.config.folder import config_dir
from jungle.config.groups import TrainerChoice
from jungle.config.words import quote
from jungle.console import log
from jungle.data import predictions
from jungle.data.clips import Clips
from jungle.data.datamodule import ClipData
from jungle.data.loader import ClipLoader
from jungle.data.predictions import ClipPrediction
from jungle.data.pseudo_labels import SoftLabels
from jungle.errors import UsageError, UserError, suggest
from jungle.files import describe_absent
from jungle.models.backbones.concat import make_backbone
from jungle.models.checkpoint_metadata import CheckpointMetadata
from jungle.models.module import ClipClassifier
from jungle.names import show
from jungle.pipelines import preflight
from jungle.plain import read_settings
from jungle.training import build, datamodules
from jungle.training import clips as training_clips
from jungle.training.datamodules import ClipExtras, ModelInputs
from jungle.training.hardware import check_hardware
from jungle.wording import count

__all__ = ["ClipClassifier", "ClipDataModule"]

STAGES = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ()}
"""Which splits need a labelled clip, by Lightning's word for what is done."""
OF_A_RUN = (
    *("hydra", "resume", "logger", "checkpoint", "report", "report_paths"),
    *("name", "sweep", "frame_answers", "calibrate"),
)
"""Settings, and groups of settings, that only `train.py` uses, outside its trainer."""
OF_A_TRAINER = (
    *("callbacks", "callbacks.patience", "optim.ema"),
    *(f"trainer.{k}" for k in TrainerChoice.model_fields if k not in ("accelerator", "devices", "compile")),
)
"""Settings of the trainer, except those for making features and compiling a backbone."""
SPLITS = ("train", "val", "test", "unlabelled")


@dataclass(frozen=True)
class PreparedClips:
    """Clips, backbone and labels as known before a clip is opened.

    Attributes:
        clips: with labels and splits.
        missing: clips that are not on disk, by number, and why.
        task: `multilabel` or `exclusive`.
        soft: soft labels to learn from.
        inputs: what the model sees of each clip.
        metadata: description of the training, for its checkpoints.
    """

    clips: Clips
    missing: Mapping[int, str]
    task: str
    soft: SoftLabels | None
    inputs: ModelInputs
    metadata: CheckpointMetadata


class ClipDataModule(LightningDataModule):
    """Labelled clips for a Lightning trainer, split, checked and read as `train.py` does.

    A batch is a dict. B clips, each of up to T frames; a shorter clip is padded:

    - `frames_BTHWC`: uint8 RGB `[B, T, H, W, 3]`; of a frozen backbone instead `x_BTD`, float16 `[B, T, D]`,
      its stored features, which `setup` makes where the store lacks them
    - `mask_BT`: bool, where a frame is; `times_BT`: seconds from the clip's first frame
    - `targets_BC`: float32 `[B, C]`, 0 or 1, soft labels in between, NaN where a label is not known
    - `number_B`: row of `clips.table`; `weight_B`: of a clip in the loss; `facts_BF`: float32, where
      `data.metadata` is given
    - `status`, `reason`: lists of text, of clips of which only a part could be read

    Args:
        config: settings as they are typed behind `train.py` (`["data.folds=5", "head=gru"]`), or a whole
            checked config. They also say what `make_model` makes.
        labels: a table of labels, or several; with it the clips are read as `data=csv`.
        root: the folder of the clips, or several; alone, one folder a class. Without both, the rendered
            sample is read.
        backbone: name of a timm model.
        mode: `frozen` (features are made once and kept) or `finetune` (frames).
        size: height and width in pixels that frames are resized to.
        frames: of a clip.
        batch_size: clips a step, on each device.
        workers: decoding processes of each device.
        seed: of splits and of the order of clips.
        predict_split: whose clips `trainer.predict` is given: train, val, test or unlabelled.

    Raises:
        UsageError: a setting is not valid, or needs something that this machine lacks.
        UserError: a file is missing, or weights cannot be downloaded.
    """

    def __init__(
        self,
        config: Sequence[str] | TrainConfig = (),
        *,
        labels: str | Path | Sequence[str | Path] | None = None,
        root: str | Path | Sequence[str | Path] | None = None,
        backbone: str | None = None,
        mode: str | None = None,
        size: tuple[int, int] | None = None,
        frames: int | None = None,
        batch_size: int | None = None,
        workers: int | None = None,
        seed: int | None = None,
        predict_split: str = "test",
    ) -> None:
        super().__init__()
        if predict_split not in SPLITS:
            raise UsageError(f"predict_split={predict_split}: no such split.{suggest(predict_split, SPLITS)}")
        words = _make_settings(labels, root, backbone, size, frames, batch_size, workers, seed)
        if isinstance(config, TrainConfig):
            if words or mode is not None:
                raise UsageError("config holds all settings already: leave out the other arguments")
            self.config = config
        else:
            self.config = compose("train", _merge_settings(words, mode, config), config_dir())
        if self.config.searched:
            raise UsageError(f"{self.config.searched[0]}=auto is searched for by train.py: give a number")
        if self.config.data.pseudo == "self":
            raise UsageError("data.pseudo=self: its rounds are made by train.py alone: leave it out")
        preflight.check(self.config)
        self.predict_split = predict_split
        self._data: ClipData | None = None

    @classmethod
    def from_run(cls, folder: str | Path, *, predict_split: str = "test") -> "ClipDataModule":
        """Return the clips of a run of `train.py`, read as that run read them.

        Raises:
            UserError: the folder holds no run, or its clips are not where they were.
        """
        file = Path(folder) / "config.yaml"
        if not file.is_file():
            raise UserError(f"{file}: {describe_absent(file)} A run of train.py has one: give its folder")
        return cls(check(TrainConfig, read_settings(file)), predict_split=predict_split)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of `targets_BC`."""
        return self.clips.classes

    @property
    def clips(self) -> Clips:
        """The clips with their labels and splits; `number_B` of a batch are rows of `clips.table`."""
        return self._prepared.clips

    @property
    def task(self) -> str:
        """`multilabel` or `exclusive`."""
        return self._prepared.task

    def make_model(self) -> ClipClassifier:
        """Return a model for these clips, as the settings ask: backbone, head, loss, optimizer.

        Its first weights are drawn by torch (`pl.seed_everything`), and its learning rate falls over the
        epochs of the trainer that it is given to.

        Raises:
            UserError: `model.warm_start` does not fit.
        """
        prepared = self._prepared
        backbone = copy.deepcopy(prepared.inputs.backbone)
        return build.build_model(self.config, backbone, prepared.clips, prepared.task, prepared.metadata)

    @cached_property
    def _prepared(self) -> PreparedClips:
        cfg = self.config
        check_hardware(cfg)
        # Before the clips: its weights may not be available.
        backbone = make_backbone(build.make_backbone_spec(cfg))
        clips, missing = training_clips.load(cfg)
        task = build.resolve_task(cfg, clips)
        soft = training_clips.read_soft_labels(cfg, clips, task)
        inputs = datamodules.resolve_model_inputs(cfg, None, clips, backbone, backbone.weights_hash())
        about = datamodules.make_checkpoint_metadata(cfg, clips, inputs)
        return PreparedClips(clips, missing, task, soft, inputs, about)

    def setup(self, stage: str | None = None) -> None:
        """Load the labels, and fill the feature store where the backbone is frozen.

        Args:
            stage: fit, validate, test or predict, as a trainer says; None = any of them.

        Raises:
            UserError: the labels are wrong, the clips cannot be read, or there is none for this stage.
            UsageError: the trainer's model is for other clips.
        """
        prepared, data = self._prepared, self._data
        if data is None:
            extras = ClipExtras(missing=prepared.missing, soft=prepared.soft)
            data = datamodules.build_datamodule(self.config, prepared.clips, prepared.inputs, extras)
            most = self.config.max_failed_fraction
            datamodules.check_left_out(prepared.clips, data, most, prepared.missing)
            self._data = data
        data.trainer, data.predict_split = self.trainer, self.predict_split
        for split in STAGES.get(stage or "", ()):
            if not len(data.numbers(split, labelled=True)):
                raise UserError(f"there is no labelled {split} clip that can be read: nothing to {stage} on")
        if stage == "predict" and not len(data.numbers(self.predict_split)):
            raise UserError(f"predict_split={self.predict_split}: it has no clip that can be read")
        model = self.trainer.lightning_module if self.trainer is not None else None
        if isinstance(model, ClipClassifier):
            self._check_model(model)

    def _check_model(self, model: ClipClassifier) -> None:
        """Check that the model was made for these frames, features and labels.

        Raises:
            UsageError: it was not; the text says what differs.
        """
        prepared, about = self._prepared, model.about
        theirs, ours = about.get("clip"), prepared.inputs.eval_spec.to_dict()
        if model.classes != prepared.clips.classes:
            raise UsageError(
                f"the model's classes are {', '.join(map(show, model.classes))}; those of the labels are "
                f"{', '.join(map(show, prepared.clips.classes))}: give the labels that it was trained on"
            )
        if theirs is not None and theirs != ours:
            name = next(k for k in {**theirs, **ours} if theirs.get(k) != ours.get(k))
            raise UsageError(
                f"the model sees clips with {name}={theirs.get(name)}, this data module reads them with "
                f"{name}={ours.get(name)}: give both the same settings, or ClipDataModule.from_run(<its run>)"
            )
        frozen = self.config.model.mode == "frozen"
        if frozen and not (model.is_frozen and about.get("weights_hash") == prepared.inputs.weights_hash):
            raise UsageError(
                "the features are of another backbone than the model's: make it with make_model(), or read "
                "frames (mode='finetune')"
            )

    @property
    def _ready(self) -> ClipData:
        if self._data is None:
            raise UsageError("call setup() first: there are no clips yet")
        return self._data

    def train_dataloader(self) -> ClipLoader:
        """Return the training batches of this device, in another order in each epoch."""
        return self._ready.train_dataloader()

    def val_dataloader(self) -> ClipLoader:
        """Return the validation batches of this device."""
        return self._ready.val_dataloader()

    def test_dataloader(self) -> ClipLoader:
        """Return the test batches of this device, of clips that have a label."""
        return self._ready.test_dataloader()

    def predict_dataloader(self) -> ClipLoader:
        """Return the batches of the clips of `predict_split`, with a label or without."""
        return self._ready.predict_dataloader()

    def teardown(self, stage: str | None = None) -> None:
        """End the decoding processes; the next loop starts its own."""
        if self._data is not None:
            datamodules.close_datamodule(self._data)

    def state_dict(self) -> dict[str, Any]:
        """Return for a checkpoint which clips could not be read."""
        return {} if self._data is None else self._data.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        if state_dict:
            self._ready.load_state_dict(state_dict)

    def table_of(self, outputs: Iterable[Any]) -> pl.DataFrame:
        """Return the predictions table of what `trainer.predict(model, datamodule=data)` gave.

        Clips that could not be read have a row each, with the reason. Of several devices each has its share.

        Args:
            outputs: a list a batch of rows: see `ClipClassifier.predict_step`.

        Returns:
            A row a clip: `clip`, `status`, `reason`, a probability a class, `times`, `attention`.
        """
        data, names = self._ready, self.clips.table["clip"]
        rows = [ClipPrediction(**row) for batch in outputs for row in batch]
        done = {row.number for row in rows}
        numbers = set((self.clips.splits() == self.predict_split).fill_null(False).arg_true().to_list())
        rows += [
            ClipPrediction.failure(why, n) for n, why in sorted(data.failures.items()) if n in numbers - done
        ]
        if left := len(numbers) - len(rows):
            log.warning(f"{count(left, 'clip')} of {len(numbers)} were not predicted by this process")
        return predictions.make_table([names[row.number] for row in rows], rows, self.classes)


def _make_settings(
    labels: str | Path | Sequence[str | Path] | None,
    root: str | Path | Sequence[str | Path] | None,
    backbone: str | None,
    size: tuple[int, int] | None,
    frames: int | None,
    batch_size: int | None,
    workers: int | None,
    seed: int | None,
) -> dict[str, str]:
    """Return arguments as settings, by name."""
    sides = None
    if size is not None:
        try:
            height, width = size
        except (TypeError, ValueError):
            raise UsageError(f"size={size}: give height and width, such as size=(224, 224)") from None
        sides = f"{height}x{width}"
    texts = {"data.labels": labels, "data.root": root, "model.backbone": backbone}
    numbers = {
        "model.size": sides,
        "frames.count": frames,
        "data.batch_size": batch_size,
        "data.workers": workers,
        "seed": seed,
    }
    return {
        **{name: _quote(value) for name, value in texts.items() if value is not None},
        **{name: str(value) for name, value in numbers.items() if value is not None},
    }


def _quote(value: object) -> str:
    """Return a text, or a list of texts, as Hydra reads it."""
    return f"[{','.join(map(quote, value))}]" if isinstance(value, list | tuple) else quote(value)


def _merge_settings(words: dict[str, str], mode: str | None, config: Sequence[str]) -> list[str]:
    """Return all settings, the arguments' first.

    Args:
        words: of the arguments.
        mode: frozen, finetune or None.
        config: further settings, as they are typed.

    Raises:
        UsageError: one is given twice, or would change nothing here.
    """
    if isinstance(config, str):
        raise UsageError(f"config={config!r}: give a list of settings: config=[{config!r}]")
    given = {str(word).split("=")[0].lstrip("+~"): str(word) for word in config}
    for name, word in given.items():
        if name.split(".")[0] in OF_A_RUN or name in OF_A_TRAINER:
            raise UsageError(f"{word}: it changes nothing here: give your own trainer what does the same")
        if name in words:
            raise UsageError(f"{name} is given twice, as an argument and as {word}: leave one out")
    if mode not in (None, "frozen", "finetune"):
        raise UsageError(f"mode={mode}: no such mode.{suggest(str(mode), ('frozen', 'finetune'))}")
    if mode is not None and "model" in given:
        raise UsageError(f"mode={mode}: {given['model']} says it already: leave one out")
    groups = []
    if "data" not in given:
        groups = ["data=csv"] if "data.labels" in words else ["data=folders"] if "data.root" in words else []
    if "model" not in given and (mode is not None or "model.backbone" in words):
        groups.append(f"model={mode or 'frozen'}")
    return [*groups, *(f"{name}={value}" for name, value in words.items()), *map(str, config)]
