"""The LightningDataModule: the clips of each split, read as frames or as stored features."""

from collections.abc import Collection, Mapping
from typing import Any, TypeVar, cast

import numpy as np
import pytorch_lightning as pl
import torch

from jungle.data.batch import ValuesKey
from jungle.data.clips import Clips
from jungle.data.loader import ClipLoader, Read
from jungle.data.pseudo_labels import SoftLabels, select_free
from jungle.data.samplers import Mix, Sampler

T = TypeVar("T")


class ClipData(pl.LightningDataModule):
    """Distribute the clips of each split to the devices.

    Args:
        clips: the table with its splits; clip numbers are its rows.
        read_train, read_eval: how a clip becomes a sample; they differ where training draws random frames.
        key: what a sample's values are: `frames_BTHWC` or `x_BTD`.
        batch_size: clips a step on each device.
        seed: of the order of training clips.
        max_failed_fraction: more unreadable clips than this stop the run.
        sampler: how training clips are drawn: see `jungle.data.samplers`.
        read_epoch_end: how a validation clip becomes a sample during training; None = `read_eval`.
        facts: `[N, F]`, for a head that takes metadata: see `jungle.data.metadata`.
        failures: reason by clip number, of clips that cannot be read: they are left out.
        damaged: numbers of clips that were read in part only.
        soft: soft labels to learn from, and their share of every batch.
    """

    def __init__(
        self,
        clips: Clips,
        *,
        read_train: Read,
        read_eval: Read,
        key: ValuesKey,
        batch_size: int,
        seed: int = 0,
        max_failed_fraction: float = 1.0,
        sampler: str = "natural",
        read_epoch_end: Read | None = None,
        facts: np.ndarray | None = None,
        failures: Mapping[int, str] | None = None,
        damaged: Collection[int] = (),
        soft: tuple[SoftLabels, float] | None = None,
    ) -> None:
        super().__init__()
        self.clips, self.batch_size, self.seed = clips, batch_size, seed
        self.key: ValuesKey = key
        self.read_train, self.read_eval = read_train, read_eval
        self.max_failed_fraction = max_failed_fraction
        self.failures: dict[int, str] = dict(failures or {})
        self.left_out = set(self.failures)
        self.damaged: set[int] = set(damaged)
        self._targets = clips.targets()
        self._draw = Sampler(self._targets, sampler)
        self._weight = clips.weights()
        self._splits = clips.splits().to_numpy()
        self._labelled = clips.labelled().to_numpy()
        self.predict_split = "test"
        self.read_epoch_end, self.facts = read_epoch_end, facts
        self._soft, self._share = soft or (None, 0.0)
        self.part = np.empty(0, np.int64)  # clips that rounds of pseudo-labels label, once these have begun
        self.soft_epoch: int | None = None  # the epoch of these labels; None = there are none yet
        self._training: ClipLoader | None = None

    def learn_from(self, soft: SoftLabels, share: float) -> None:
        """Train on clips with soft labels too, `share` of every batch; their own labels are not used."""
        self._soft, self._share = soft, share
        if self._training is not None:
            self._add_soft(self._training)

    def begin_rounds(self, part: np.ndarray, share: float) -> None:
        """Mix these clips into all later epochs, `share` of every batch; `label_part` gives their labels."""
        self.part = part
        unknown = np.full((len(part), len(self.clips.classes)), np.nan, np.float32)
        self.learn_from(SoftLabels(part, unknown, np.zeros(len(part), np.float32)), share)

    def label_part(self, soft: SoftLabels, epoch: int) -> None:
        """Set the labels of the mixed-in clips for this epoch; clips that could not be read have none."""
        self.soft_epoch = epoch
        self.learn_from(soft, self._share)

    @property
    def has_soft_labels(self) -> bool:
        """Whether there are clips with soft labels, even if none of them can be read."""
        return self._soft is not None

    @property
    def soft_numbers(self) -> np.ndarray:
        """Numbers of the clips with soft labels, those left out excepted."""
        none = np.empty(0, np.int64)
        return none if self._soft is None else self._drop_left_out(self._soft.numbers)

    @property
    def free_numbers(self) -> np.ndarray:
        """Numbers of the clips that may take soft labels, those left out excepted."""
        return self._drop_left_out(np.flatnonzero(select_free(self.clips)))

    def _add_soft(self, loader: ClipLoader) -> None:
        """Give a loader of training clips those with soft labels."""
        loader.mix = None
        if self._soft is None or not len(self.soft_numbers):
            return
        loader.mix = Mix(self.soft_numbers, self._share)
        loader.targets, loader.weight = self._targets.copy(), self._weight.copy()
        loader.targets[self._soft.numbers] = self._soft.probs_PC
        loader.weight[self._soft.numbers] = self._soft.weight_P

    def numbers(self, split: str, labelled: bool = False) -> np.ndarray:
        """Return the numbers of a split's clips, those left out excepted; `labelled`: only with a label."""
        chosen = (self._splits == split) & (self._labelled if labelled else True)
        return self._drop_left_out(np.flatnonzero(chosen))

    def _drop_left_out(self, numbers: np.ndarray) -> np.ndarray:
        return np.array([n for n in numbers if int(n) not in self.left_out], np.int64)

    def loader(
        self, split: str, train: bool = False, labelled: bool = True, rank: int = 0, world: int = 1
    ) -> ClipLoader:
        """Return the batches of a split for one device."""
        made = self.loader_of(self.numbers(split, labelled), rank, world, train)
        if train:
            self._add_soft(made)
        return made

    def loader_of(
        self,
        numbers: np.ndarray,
        rank: int = 0,
        world: int = 1,
        train: bool = False,
        mix: Mix | None = None,
    ) -> ClipLoader:
        """Return the batches of these clips for one device, `mix` among them."""
        return ClipLoader(
            self.read_train if train else self.read_eval,
            self.key,
            numbers,
            self._targets,
            self._weight,
            self.batch_size,
            train=train,
            seed=self.seed,
            draw=self._draw,
            mix=mix,
            rank=rank,
            world=world,
            max_failed_fraction=self.max_failed_fraction,
            failures=self.failures,
            damaged=self.damaged,
            facts=self.facts,
            pin=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
        )

    def train_dataloader(self) -> ClipLoader:
        """Return the training batches of this device."""
        loader = self._training = self.loader("train", True, True, *self._place())
        if self.trainer is not None:
            trainer = self.trainer
            loader.epoch_now = lambda: trainer.current_epoch
            loops = trainer.fit_loop
            # Once a fit has ended, the loader gives whole epochs to whoever asks.
            loader.start_now = lambda: (
                loops.epoch_loop.batch_progress.current.ready if trainer.training else 0
            )
        return loader

    def val_dataloader(self) -> ClipLoader:
        """Return the validation batches of this device."""
        made = self.loader("val", False, True, *self._place())
        made.read = self.read_epoch_end or made.read
        return made

    def test_dataloader(self) -> ClipLoader:
        """Return the test batches of this device, of clips that have a label."""
        return self.loader("test", False, True, *self._place())

    def predict_dataloader(self) -> ClipLoader:
        """Return the batches of the clips of `predict_split`, with a label or without."""
        return self.loader(self.predict_split, False, False, *self._place())

    def state_dict(self) -> dict[str, object]:
        """Return for `last.ckpt` the clips that failed on any device, and the labels of a round."""
        failures = {n: reason for part in gather_objects(self.failures) for n, reason in part.items()}
        state: dict[str, object] = {"failures": failures}
        if self._soft is not None and len(self.part):
            made = {k: torch.from_numpy(v) for k, v in vars(self._soft).items()}
            part = torch.from_numpy(self.part)
            state["soft"] = {"epoch": self.soft_epoch, "share": self._share, "part": part, **made}
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state from `last.ckpt`."""
        self.failures.update(state_dict["failures"])
        if soft := dict(state_dict.get("soft", {})):
            self.soft_epoch, self._share = soft.pop("epoch"), soft.pop("share")
            self.part = soft.pop("part").numpy()
            self.learn_from(SoftLabels(**{k: v.numpy() for k, v in soft.items()}), self._share)

    @classmethod
    def of(cls, trainer: pl.Trainer) -> "ClipData":
        """Return the data module of a trainer, which Lightning leaves untyped."""
        data: object = trainer.datamodule  # type: ignore[attr-defined]  # set by a connector
        assert isinstance(data, cls)
        return data

    def gather_unread(self) -> set[int]:
        """Return the clips that could not be read in full on any device so far; every device calls it."""
        return set().union(*gather_objects({*self.damaged, *self.failures}))

    def _place(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)


def gather_objects(own: T) -> list[T]:
    """Return the object of each device, in the order of ranks; every device calls it."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [own]
    parts: list[T | None] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, own)
    return cast("list[T]", parts)
