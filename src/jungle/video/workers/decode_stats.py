"""Counts of the clips that GPU and CPU decoded in a run, with the reasons for the CPU."""

from __future__ import annotations

from collections import Counter

from jungle.console import log
from jungle.video.types import Clip, ClipError

MOST_REASONS = 4


class DecodeStats:
    """Counts of the clips of a run that was meant for the GPU."""

    def __init__(self) -> None:
        self.on_gpu = self.failed = 0
        self.on_cpu: Counter[str] = Counter()
        """Reasons, each with its number of clips."""

    def add(self, clip: Clip | ClipError) -> None:
        """Count one clip."""
        if isinstance(clip, ClipError):
            self.failed += 1
        elif clip.decoder.endswith("-cuda"):
            self.on_gpu += 1
        else:
            self.on_cpu[clip.on_cpu or "unknown"] += 1

    def log(self) -> None:
        """Log the counts in one line, if there are any."""
        if self.on_gpu or self.on_cpu or self.failed:
            log.info(str(self))

    def __str__(self) -> str:
        count = sum(self.on_cpu.values())
        line = f"clips decoded: {self.on_gpu} on the GPU, {count} on the CPU"
        if count:
            reasons = [f"{reason}: {n}" for reason, n in self.on_cpu.most_common(MOST_REASONS)]
            line += f" ({'; '.join(reasons)}{'; ...' if len(self.on_cpu) > MOST_REASONS else ''})"
        return f"{line}, {self.failed} unreadable" if self.failed else line
