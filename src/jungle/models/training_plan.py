"""Training settings as plain values."""

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from jungle.errors import UserError
from jungle.models.losses import LossPlan
from jungle.models.plateau import Plateau


@dataclass(frozen=True)
class Training:
    """Training settings. Prediction does not need them, so a checkpoint's description lacks them."""

    optimizer: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.01
    schedule: str = "cosine"
    warmup: float = 0.05
    loss: LossPlan = field(default_factory=LossPlan)
    mixup: float = 0.0
    cutmix: float = 0.0
    backbone_lr: float | None = None
    """Of its last layers; None = `lr`."""
    layer_decay: float = 1.0
    unfreeze: dict[int, str] = field(default_factory=lambda: {0: "all"})
    """The trained part of the backbone by the epoch from which on: see `unfreezing`."""
    norm_stats: str = "move"
    """`move`: BatchNorm statistics of trained layers follow the clips; `keep`: they stay."""
    monitor: tuple[str, Literal["min", "max"]] = ("val/log_loss", "min")
    """The score that `schedule=plateau` follows, and whether less or more is better."""
    plateau: Plateau = field(default_factory=Plateau)
    stages: dict[int, tuple[str, float]] = field(default_factory=dict)
    """Other optimizers and their rates, by the epoch from which each is used, with a state of its own."""
    head_l1: float = 0.0
    """The penalty on each weight of the head's last layer."""

    def at(self, epoch: int) -> "Training":
        """Return the plan with the optimizer and the rate of an epoch."""
        begun = [start for start in self.stages if start <= epoch]
        if not begun:
            return self
        optimizer, lr = self.stages[max(begun)]
        return replace(self, optimizer=optimizer, lr=lr)

    def to_dict(self) -> dict[str, object]:
        """Return plain types, as in JSON."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, values: object) -> "Training":
        """Build the settings of `to_dict`; unknown ones are left out.

        Raises:
            UserError: a value is of the wrong type.
        """
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as e:
            wrong = e.errors()[0]
            at = ".".join(map(str, wrong["loc"])) or "they"
            raise UserError(f"its training settings are damaged ({at}: {wrong['msg']})") from None
