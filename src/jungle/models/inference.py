"""Run a trained model over batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from jungle.data.batch import AnyBatch, Batch, ClipTensors, get_tensor, move_batch
from jungle.data.predictions import ClipPrediction
from jungle.models.cpu_parallel import map_parallel
from jungle.models.losses import probabilities

if TYPE_CHECKING:
    from jungle.models.module import ClipClassifier


def compute_features(model: ClipClassifier, batch: AnyBatch, device: str, dtype: str) -> AnyBatch:
    """Return the batch on the device with features instead of frames.

    On the CPU each clip is computed alone, so that its answer does not depend on the others.
    """
    made = move_batch(batch, device)
    frames_BTHWC, mask_BT, real_N = made.pop("frames_BTHWC"), made["mask_BT"], made.get("real_N")

    def features(part: tuple[torch.Tensor, ...]) -> torch.Tensor:
        kind = device.split(":")[0]
        with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=dtype == "bfloat16"):
            return model.features(*part)

    if device != "cpu":
        made["x_BTD"] = features((frames_BTHWC, mask_BT, *([] if real_N is None else [real_N])))
    else:
        clips = zip(frames_BTHWC.split(1), mask_BT.split(1), strict=True)
        made["x_BTD"] = torch.cat(map_parallel(features, clips))
    return made


def predict_batches(
    model: ClipClassifier, batches: Iterable[Batch], device: str, dtype: str, each_frame: bool = False
) -> Iterator[ClipPrediction]:
    """Yield the prediction of each clip of each batch; `model` is put in eval mode, on the device.

    The other arguments are those of `predict_batch`.
    """
    model = model.eval().to(device)
    for batch in batches:
        yield from predict_batch(model, batch, device, dtype, each_frame)


def predict_batch(
    model: ClipClassifier, batch: Batch, device: str, dtype: str, each_frame: bool = False
) -> list[ClipPrediction]:
    """Return the prediction of each clip of a batch.

    On the CPU each clip is predicted alone: its row is the same to the last bit in any batch. A GPU computes
    the batch as a whole, and the last bit may depend on it.

    Args:
        model: in eval mode, on the device.
        batch: of frames or of features.
        device: a torch device.
        dtype: `bfloat16` or `float32`, for the backbone. The head is always float32.
        each_frame: also fill `frames`: the prediction of each frame as a clip of one frame.
    """

    def predict(part: ClipTensors) -> BatchPrediction:
        with torch.inference_mode():
            answer = model(part)
            return BatchPrediction(
                probabilities(answer.logits_BC, model.task).cpu().numpy(),
                None if answer.attention_BT is None else answer.attention_BT.float().cpu().numpy(),
                _predict_frames(model, part) if each_frame else [],
            )

    has_frames = "frames_BTHWC" in batch
    ready = compute_features(model, batch, device, dtype) if has_frames else move_batch(batch, device)
    alone = device == "cpu"
    parts = map_parallel(predict, _split_clips(ready)) if alone else [predict(ready)]
    mask_BT, times_BT = batch["mask_BT"].cpu().numpy(), batch["times_BT"].cpu().numpy()
    rows = []
    for i, number in enumerate(batch["number_B"].tolist()):
        mask_T, (part, at) = mask_BT[i], (parts[i], 0) if alone else (parts[0], i)
        attention = None if part.attention_BT is None else part.attention_BT[at]
        rows.append(
            ClipPrediction(
                batch["status"][i],
                batch["reason"][i],
                part.probs_BC[at],
                times_BT[i][mask_T],
                attention if attention is None or alone else attention[mask_T],
                part.frames[at] if each_frame else None,
                number,
            )
        )
    return rows


class BatchPrediction(NamedTuple):
    """Predictions of a batch, on the CPU."""

    probs_BC: np.ndarray
    attention_BT: np.ndarray | None
    frames: list[np.ndarray]
    """`[T, C]` per clip; empty without `each_frame`."""


def _split_clips(batch: Batch) -> Iterator[ClipTensors]:
    """Yield each clip of a batch of features as a batch of its own, without padding."""
    x_BTD = get_tensor(batch, "x_BTD")
    for i, mask_T in enumerate(batch["mask_BT"]):
        # Copies: a library may sum in another order if memory is aligned differently.
        one: ClipTensors = {
            "x_BTD": x_BTD[i : i + 1, mask_T].clone(),
            "mask_BT": batch["mask_BT"][i : i + 1, mask_T].clone(),
            "times_BT": batch["times_BT"][i : i + 1, mask_T].clone(),
        }
        if "facts_BF" in batch:
            one["facts_BF"] = batch["facts_BF"][i : i + 1].clone()
        yield one


def _predict_frames(model: ClipClassifier, batch: ClipTensors) -> list[np.ndarray]:
    """Return the probabilities `[T, C]` of each clip's frames, each as a clip of one frame."""
    mask_BT = batch["mask_BT"]
    count_B = mask_BT.sum(1)
    alone: ClipTensors = {
        "x_BTD": get_tensor(batch, "x_BTD")[mask_BT].unsqueeze(1),
        "mask_BT": mask_BT.new_ones(int(count_B.sum()), 1),
        "times_BT": torch.zeros_like(batch["times_BT"][mask_BT]).unsqueeze(1),
    }
    if "facts_BF" in batch:
        alone["facts_BF"] = batch["facts_BF"].repeat_interleave(count_B, dim=0)
    probs_NC = probabilities(model(alone).logits_BC, model.task).cpu().numpy()
    return np.split(probs_NC, np.cumsum(count_B.cpu().numpy())[:-1])
