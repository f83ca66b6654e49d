"""Devices, precision and decoding processes of a training run."""

from dataclasses import dataclass

import torch

from jungle import system
from jungle.config import TrainConfig
from jungle.console import log
from jungle.devices import require_trainer
from jungle.features.spec import compute_dtype
from jungle.video.workers.device_selection import require_gpu


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a training run computes on.

    Attributes:
        devices: torch devices of this machine, one per training process.
        precision: Lightning's word for what the backbone computes in.
        workers: decoding processes per device.
        nodes: machines.
    """

    devices: tuple[str, ...]
    precision: str
    workers: int
    nodes: int

    @property
    def device(self) -> str:
        """The first device."""
        return self.devices[0]

    @property
    def is_gpu(self) -> bool:
        """Whether the devices are GPUs."""
        return self.device.startswith("cuda")

    @property
    def feature_dtype(self) -> str:
        """What a frozen backbone computes features in."""
        return compute_dtype(self.device)

    @property
    def processes(self) -> int:
        """Training processes on all machines."""
        return len(self.devices) * self.nodes

    def own_device(self, local_rank: int) -> str:
        """Return the device of one process of this machine."""
        return self.devices[local_rank % len(self.devices)]


def resolve_hardware(cfg: TrainConfig) -> Hardware:
    """Return what a config computes on: `auto` becomes what this machine has."""
    devices = _resolve_devices(cfg)
    precision = cfg.trainer.precision
    if precision == "auto":  # bf16 where the GPU has it in hardware (Ampere and later)
        on_gpu = devices[0].startswith("cuda")
        precision = "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported(False) else "32-true"
    workers = cfg.data.workers
    if workers is None:
        workers = system.share_of_cores(len(devices))
    return Hardware(devices, precision, workers, cfg.trainer.num_nodes)


def check_hardware(cfg: TrainConfig) -> None:
    """Refuse devices that this machine does not have, to train or to decode on, before anything is read.

    Raises:
        UsageError: what is missing.
    """
    have = torch.cuda.device_count() if torch.cuda.is_available() else 0
    require_trainer(cfg.trainer.accelerator, cfg.trainer.devices, have)
    hardware = resolve_hardware(cfg)
    if len(hardware.devices) > 1 and not have and cfg.trainer.accelerator == "auto" and not system.get_rank():
        log.info(f"no GPU can be used here: training in {len(hardware.devices)} processes on the CPU")
    if not hardware.is_gpu and cfg.model.mode == "finetune" and "bf16" in hardware.precision and lacks_bf16():
        log.warning(
            f"trainer.precision={cfg.trainer.precision}: this CPU has no bf16 instructions and emulates "
            "them, many times slower; leave the setting out"
        )
    if cfg.decoder.device in ("gpu", "cuda"):
        require_gpu(cfg.decoder.name, hardware.device)


def lacks_bf16() -> bool:
    """Return whether the CPU is known to have no bf16 instructions; PyTorch tells from 2.12 or so on."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities) and not any(has for name, has in capabilities.items() if name.endswith("bf16"))


def _resolve_devices(cfg: TrainConfig) -> tuple[str, ...]:
    wanted = cfg.trainer.devices
    if cfg.trainer.accelerator == "cpu" or (
        cfg.trainer.accelerator == "auto" and not torch.cuda.is_available()
    ):
        return ("cpu",) * (wanted if isinstance(wanted, int) and wanted > 0 else 1)
    if isinstance(wanted, list):
        return tuple(f"cuda:{i}" for i in wanted)
    return tuple(f"cuda:{i}" for i in range(torch.cuda.device_count() if wanted == -1 else wanted))
