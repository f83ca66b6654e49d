"""A clip's answer on the CPU is its own: the same to the last bit whatever stands beside it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from jungle.config.folder import config_dir
from jungle.data.predictions import ClipPrediction
from jungle.errors import UserError
from jungle.models.backbones.backbone import Backbone, BackboneSpec
from jungle.models.inference import predict_batches
from jungle.models.module import ClipClassifier

CLASSES = ("blank", "hog", "lion")
SIZE = (32, 48)


def model(head: str, mode: str = "frozen") -> ClipClassifier:
    torch.manual_seed(0)
    values = yaml.safe_load((Path(config_dir()) / "head" / f"{head}.yaml").read_text())
    values.pop("defaults", None)
    backbone = Backbone(BackboneSpec("test_resnet", pretrained=False, size=SIZE))
    return ClipClassifier(backbone, values, CLASSES, "exclusive", mode)


def batch(numbers: list[int]) -> dict[str, Any]:
    """Clips of 3 to 5 frames, each by its number the same in every batch."""
    frames = [3 + n % 3 for n in numbers]
    x_BTHWC = torch.zeros(len(numbers), max(frames), *SIZE, 3, dtype=torch.uint8)
    mask_BT = torch.zeros(len(numbers), max(frames), dtype=torch.bool)
    for i, (n, t) in enumerate(zip(numbers, frames, strict=True)):
        made = torch.Generator().manual_seed(n)
        x_BTHWC[i, :t] = torch.randint(0, 256, (t, *SIZE, 3), generator=made, dtype=torch.uint8)
        mask_BT[i, :t] = True
    return {
        "frames_BTHWC": x_BTHWC,
        "mask_BT": mask_BT,
        "times_BT": torch.arange(max(frames)).float() * mask_BT,
        "number_B": torch.tensor(numbers),
        "status": ["ok"] * len(numbers),
        "reason": [""] * len(numbers),
    }


def said(made: ClipClassifier, *batches: list[int], each_frame: bool = True) -> dict[int, ClipPrediction]:
    rows = predict_batches(made, [batch(b) for b in batches], "cpu", "float32", each_frame)
    return {row.number: row for row in rows}


@pytest.mark.parametrize("head", ["attention", "mean", "gru", "tcn", "transformer", "primatrix_gru"])
@pytest.mark.parametrize("mode", ["frozen", "finetune"])
def test_batches_do_not_change_an_answer(head: str, mode: str) -> None:
    made = model(head, mode)
    whole = said(made, [0, 1, 2, 3, 4, 5, 6])
    for batches in ([[n] for n in range(7)], [[6, 2], [1, 0, 5], [4, 3]]):
        parts = said(made, *batches)
        for n, row in whole.items():
            for key in ("probs", "attention", "times", "frames"):
                np.testing.assert_array_equal(getattr(row, key), getattr(parts[n], key))


def test_threads_do_not_change_an_answer() -> None:
    made, threads = model("attention"), torch.get_num_threads()
    found = []
    try:
        for n in (1, 3):
            torch.set_num_threads(n)
            found.append(said(made, [0, 1, 2, 3]))
    finally:
        torch.set_num_threads(threads)
    for n in range(4):
        np.testing.assert_array_equal(found[0][n].probs, found[1][n].probs)


def test_weights_of_other_classes_are_not_loaded_by_their_place() -> None:
    made = model("mean")
    checkpoint = {"jungle": {"classes": ["blank", "lion", "hog"]}}
    with pytest.raises(UserError, match="resume=never"):
        made.on_load_checkpoint(checkpoint)
    made.on_load_checkpoint({"jungle": {"classes": list(CLASSES)}})
