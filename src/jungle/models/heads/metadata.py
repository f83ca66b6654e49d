"""Branch of a head for the metadata of clips: see `jungle.data.metadata`."""

import torch
from torch import Tensor, nn

from jungle.data.metadata import HEIGHT, SIZE, WIDTH, Metadata
from jungle.models.heads.norm import BatchNorm

UNITS = 128
DROPOUT = 0.25
FARTHEST = 8.0  # standard deviations; more of a wrong clock or size adds nothing


class MetadataBranch(nn.Module):
    """Two dense layers over standardised metadata (the third place's, 2017).

    Args:
        known: statistics of the training clips.
    """

    mean_F: Tensor
    std_F: Tensor
    widths_W: Tensor
    heights_H: Tensor
    shapes_S4: Tensor
    width = UNITS

    def __init__(self, known: Metadata) -> None:
        super().__init__()
        for name, values in (
            ("mean_F", torch.tensor(known.mean)),
            ("std_F", torch.tensor(known.std)),
            ("widths_W", torch.tensor(known.widths)),
            ("heights_H", torch.tensor(known.heights)),
            ("shapes_S4", torch.tensor(known.shapes).reshape(-1, 4)),
        ):
            self.register_buffer(name, values, persistent=False)
        self.dense = nn.Sequential(
            nn.Linear(len(known.columns), UNITS),
            BatchNorm(UNITS),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(UNITS, UNITS),
            BatchNorm(UNITS),
            nn.ReLU(),
        )

    def measured(self, facts_BF: Tensor) -> Tensor:
        """Return `[B, len(columns)]` for metadata `[B, F]`.

        Each value, and the file size among clips of the same shape, in standard deviations (0 if unknown);
        then 1 for each unknown value; then which of the common widths and heights the clip has.
        """
        facts_BF = facts_BF[:, : len(self.mean_F)].float()  # models of an ensemble may know more
        shape_B12 = facts_BF[:, None, [WIDTH, HEIGHT]]
        same_BS = (shape_B12 == self.shapes_S4[None, :, :2]).all(2)
        usual_B2 = same_BS.float() @ self.shapes_S4[:, 2:]
        usual_B2[~same_BS.any(1)] = float("nan")
        in_shape_B = (facts_BF[:, SIZE] - usual_B2[:, 0]) / usual_B2[:, 1]
        z_BN = torch.cat([(facts_BF - self.mean_F) / self.std_F, in_shape_B[:, None]], dim=1)
        known_BN = z_BN.isfinite()
        return torch.cat(
            [
                torch.where(known_BN, z_BN, torch.zeros_like(z_BN)).clamp(-FARTHEST, FARTHEST),
                (~known_BN).float(),
                (facts_BF[:, WIDTH, None] == self.widths_W).float(),
                (facts_BF[:, HEIGHT, None] == self.heights_H).float(),
            ],
            dim=1,
        )

    def forward(self, facts_BF: Tensor) -> Tensor:
        """Return `[B, width]`."""
        return self.dense(self.measured(facts_BF))
