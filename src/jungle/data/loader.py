"""Batches of clips for one device: which clips it gets, in which order, and what replaces those that fail.

Lightning takes any iterable as a dataloader. This one distributes clips itself: in evaluation each clip goes
to one device and none is repeated to even them out; in training every device has as many clips as others, so
that none waits for a gradient that never comes.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from jungle.data.batch import Batch, ValuesKey
from jungle.data.samplers import Mix
from jungle.errors import UserError


@dataclass(frozen=True)
class Sample:
    """One clip as a model takes it: frames uint8 `[T, H, W, 3]` or features float16 `[T, D]`, and times."""

    values: np.ndarray | torch.Tensor
    """A tensor where a GPU decoded the clip; it is there."""
    times: np.ndarray
    status: str = "ok"
    reason: str = ""
    duration: float = 0.0
    """Seconds of the clip; 0 if unknown."""
    created: str = ""
    """Time of recording in the words of the video's container; empty if unknown."""


Read = Callable[[Sequence[int], int, Sequence[int]], Iterator[tuple[int, Sample | str]]]
"""Takes clip numbers (rows of the clips table), the epoch, and the number of each draw of a clip in it:
no two are the same, on one device or several. Yields each clip number with its sample or failure; what is
random about a sample depends on epoch and draw alone."""

Draw = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Takes clip numbers; returns those of an epoch, as many, in order. The same on every device."""


def count_draws(numbers: Sequence[int] | np.ndarray, came: Counter[int]) -> list[int]:
    """Return how often each of `numbers` had come before, and count them in `came`."""
    draws = []
    for number in map(int, numbers):
        draws.append(came[number])
        came[number] += 1
    return draws


def _shuffle(numbers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(numbers)


@dataclass
class ClipLoader:
    """Iterate over batches of the clips `numbers`.

    Attributes:
        failures: reason by clip number, of every clip that has failed so far.
        damaged: numbers of the clips that could be read in part only, so far.
    """

    read: Read
    key: ValuesKey
    """What `read` gives."""
    numbers: np.ndarray
    targets: np.ndarray
    """float32 `[N, C]` and `weight` `[N]`, by clip number."""
    weight: np.ndarray
    batch_size: int
    train: bool = False
    seed: int = 0
    rank: int = 0
    world: int = 1
    max_failed_fraction: float = 1.0
    draw: Draw = _shuffle
    """Chooses and orders the training clips of an epoch."""
    mix: Mix | None = None
    """Puts clips with soft labels among them; None = there are none."""
    epoch_now: Callable[[], int] = int
    """Called when an epoch starts: its number chooses the order of training clips."""
    start_now: Callable[[], int] = int
    """Called when an epoch starts: the number of its batches that were trained on before the run stopped."""
    failures: dict[int, str] = field(default_factory=dict)
    damaged: set[int] = field(default_factory=set)
    facts: np.ndarray | None = None
    """float32 `[N, F]`, by clip number: see `jungle.data.metadata`; None = there are none."""
    pin: bool = False
    """Whether batches lie in pinned memory, from where a GPU copies while it computes."""

    def __len__(self) -> int:
        """Return the number of batches of this device."""
        return math.ceil(len(self._list_own(0)) / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches. In training, a clip that fails is replaced by another of this device's clips.

        In evaluation a clip that has failed once is not requested again, so all epochs, and the final table,
        are scored on the same clips.
        """
        epoch = self.epoch_now()
        mine = self._list_own(epoch)
        if not self.train:
            mine = np.array([n for n in mine if int(n) not in self.failures], mine.dtype)
        batch: list[tuple[int, Sample]] = []
        given = 0
        came: Counter[int] = Counter()
        skip = self.start_now() * self.batch_size if self.train else 0
        for _attempt in range(10):
            order = mine[: len(mine) - given] if self.train else mine
            todo, skipped = self._skip_taken(order, skip)
            given, skip = given + skipped, skip - skipped
            count_draws(order[: len(order) - len(todo)], came)
            draws = [n * self.world + self.rank for n in count_draws(todo, came)]
            for number, sample in self.read(todo.tolist(), epoch, draws if self.train else [0] * len(todo)):
                if isinstance(sample, str):
                    self._note_failure(number, sample)
                    continue
                if sample.status != "ok":
                    self.damaged.add(int(number))
                batch.append((number, sample))
                given += 1
                if len(batch) == self.batch_size:
                    yield self._collate(batch)
                    batch = []
            if not self.train or given >= len(mine):
                break
            mine = np.array([n for n in mine if int(n) not in self.failures] * 2, mine.dtype)[: len(mine)]
            if not len(mine):
                break
        if self.train and not given:
            raise UserError(
                f"no training clip could be read; the first: {next(iter(self.failures.values()), '')}"
            )
        if batch:
            yield self._collate(batch)

    def _skip_taken(self, order: np.ndarray, skip: int) -> tuple[np.ndarray, int]:
        """Leave out the first `skip` readable clips; return the rest, and how many were left out."""
        if not skip:
            return order, 0
        readable = np.flatnonzero([int(n) not in self.failures for n in order])[:skip]
        at = readable[-1] + 1 if len(readable) == skip else len(order)
        return order[at:], len(readable)

    def _list_own(self, epoch: int) -> np.ndarray:
        """Return the clip numbers of this device in this epoch."""
        if not self.train:
            return self.numbers[self.rank :: self.world]
        rng = np.random.default_rng([self.seed, epoch])
        order = self.draw(self.numbers, rng)
        order = np.resize(order, math.ceil(len(order) / self.world) * self.world)[self.rank :: self.world]
        return order if self.mix is None else self.mix(order, rng, self.rank, self.world)

    def _note_failure(self, number: int, reason: str) -> None:
        self.failures[int(number)] = reason
        every = len(self.numbers) + (0 if self.mix is None else len(self.mix.soft))
        if len(self.failures) > max(self.max_failed_fraction * every, 1):
            raise UserError(
                f"{len(self.failures)} of {every} clips could not be read (the last: {reason}). "
                "Check the disk; max_failed_fraction is the share of clips that may fail"
            )

    def _collate(self, batch: list[tuple[int, Sample]]) -> Batch:
        numbers = np.array([n for n, _ in batch])
        return make_batch(
            batch,
            self.key,
            targets_BC=self.targets[numbers],
            weight_B=self.weight[numbers],
            facts_BF=None if self.facts is None else self.facts[numbers],
            pin=self.pin,
        )


def make_batch(
    clips: Sequence[tuple[int, Sample]],
    key: ValuesKey,
    *,
    targets_BC: np.ndarray,
    weight_B: np.ndarray,
    facts_BF: np.ndarray | None = None,
    pin: bool = False,
) -> Batch:
    """Return the batch of some clips, each with its number; shorter ones are padded.

    Args:
        clips: number and sample of each.
        key: what the samples' values are.
        targets_BC: float32, their labels.
        weight_B: float32.
        facts_BF: their metadata, where the model uses them.
        pin: whether the batch lies in pinned memory.
    """
    longest = max(len(s.values) for _, s in clips)
    times = np.zeros((len(clips), longest), np.float32)
    mask = np.zeros((len(clips), longest), bool)
    for i, (_, sample) in enumerate(clips):
        t = len(sample.values)
        times[i, :t], mask[i, :t] = sample.times, True
    made: Batch = {
        "times_BT": torch.from_numpy(times),
        "mask_BT": torch.from_numpy(mask),
        "real_N": torch.from_numpy(np.flatnonzero(mask)),
        "number_B": torch.tensor([n for n, _ in clips]),
        "targets_BC": torch.from_numpy(targets_BC),
        "weight_B": torch.from_numpy(weight_B),
        "status": [s.status for _, s in clips],
        "reason": [s.reason for _, s in clips],
    }
    made[key] = pad_clips([s.values for _, s in clips], longest, pin)
    if facts_BF is not None:
        made["facts_BF"] = torch.from_numpy(facts_BF)
    return made


def pad_clips(values: list[np.ndarray | torch.Tensor], longest: int, pin: bool = False) -> torch.Tensor:
    """Stack clips of different lengths, zeros after their own frames; on the GPU where one of them is."""
    shape = (len(values), longest, *values[0].shape[1:])
    arrays = [v for v in values if isinstance(v, np.ndarray)]
    if len(arrays) == len(values):
        out = torch.empty(shape, dtype=torch.from_numpy(arrays[0][:0].copy()).dtype, pin_memory=pin)
        for row, array in zip(out.numpy(), arrays, strict=True):  # the same memory
            row[: len(array)], row[len(array) :] = array, 0
        return out
    out = next(v for v in values if isinstance(v, torch.Tensor)).new_empty(shape)
    for row, value in zip(out, values, strict=True):
        row[: len(value)], row[len(value) :] = torch.as_tensor(value), 0
    return out
