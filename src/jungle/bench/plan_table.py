"""Hours and tables of `jungle bench plan`, as in `docs/scale.md`."""

from typing import TypedDict

from jungle.bench.plan_stacking import StackerCost
from jungle.bench.plan_stages import ExtractionCost, HeadCost

THEIRS = 152  # frames a second of one backbone on two GTX 1080 Ti: a day for 45 frames of all clips
EPOCHS, ROUNDS, FOLDS = 15, 5, 5  # of level 1, without early stopping
TWICE = "attention on three joined"  # the blank-or-not model costs as much
NINE = 9


class BackboneRow(TypedDict):
    """Cost of one backbone's features."""

    backbone: str
    size: list[int]
    frames: int
    numbers: int
    frames_s: float
    disk_gb: float
    hours: float


class HeadRow(HeadCost):
    """Cost of one model of level 1."""

    model: str
    epoch_minutes: float
    share: float


class StackerRow(StackerCost):
    """Cost of one stacker of level 2."""

    stacker: str


class Plan(TypedDict):
    """Measurements of `jungle bench plan`."""

    device: str
    cores: int
    clips: int
    trained: int
    backbones: list[BackboneRow]
    decode_clips_s: float
    together: ExtractionCost
    level_1: list[HeadRow]
    level_2: list[StackerRow]
    hours: dict[str, float]


def compute_hours(found: Plan) -> dict[str, float]:
    """Return the hours of all features and of all of level 1.

    Decoding and backbones run in parallel, so the slower one counts.
    """
    decode = found["clips"] / found["decode_clips_s"] / 3600
    backbones = sum(b["hours"] for b in found["backbones"])
    return {
        "decode": decode,
        "backbones": backbones,
        "features": max(decode, backbones),
        "features_on_eight": max(decode, backbones) / 8,
        "features_together": found["clips"] / found["together"]["clips_s"] / 3600,
        "features_theirs": sum(_compute_theirs(found, b) for b in found["backbones"]),
        "level_1": sum(_sum_hours(r) * (2 if r["model"] == TWICE else 1) for r in found["level_1"]),
    }


def _compute_theirs(found: Plan, backbone: BackboneRow) -> float:
    return found["clips"] * backbone["frames"] / THEIRS / 3600


def _sum_hours(model: HeadRow) -> float:
    """Return the hours of all folds; each trains on the clips of the others, and rounds add clips."""
    return model["epoch_minutes"] / 60 * (EPOCHS + ROUNDS / (1 - model["share"])) * (FOLDS - 1)


def format_plan(found: Plan) -> str:
    """Return the tables of `docs/scale.md`."""
    hours, clips, trained = found["hours"], found["clips"], found["trained"]
    both = found["together"]
    on_gpu = f", and {both['gpu_mb'] / 1000:.1f} GB on the GPU" if both["gpu_mb"] else ""
    rate = f"{found['cores']} cores decode {found['decode_clips_s']:.1f} clips/s"
    lines = [
        f"{found['device']}; {rate}, each clip once for all backbones",
        "",
        f"| features of {clips:,} clips | frames, size | numbers | disk GB | frames/s | hours | theirs |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for b in found["backbones"]:
        size, disk = "x".join(map(str, b["size"])), f"{b['disk_gb']:,.0f}"
        cells = (f"{b['frames']}, {size}", b["numbers"], disk, f"{b['frames_s']:,.1f}", f"{b['hours']:,.1f}")
        lines.append(f"| {b['backbone']} | {' | '.join(map(str, cells))} | {_compute_theirs(found, b):.0f} |")
    disk = sum(b["disk_gb"] for b in found["backbones"])
    lines += [
        f"| decoding, once for all | | | | | {hours['decode']:,.1f} | |",
        f"| **all** | | | **{disk:,.0f}** | | **{hours['features']:,.1f}** "
        f"| **{hours['features_theirs']:.0f}** |",
        f"| on eight such | | | | | {hours['features_on_eight']:,.1f} | |",
        f"| all at once, as on {both['clips']} clips | | | | | {hours['features_together']:,.1f} | |",
        "",
        f"Memory while all at once: {both['peak_mb'] / 1000:.1f} GB{on_gpu}.",
        "",
        f"| level 1, {trained:,} clips | features GB | clips/s | minutes an epoch | hours, {FOLDS} folds of "
        f"{EPOCHS} epochs and {ROUNDS} rounds | memory GB |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for r in found["level_1"]:
        lines.append(
            f"| {r['model']} | {r['features_gb']:.0f} | {r['clips_s']:,.0f} "
            f"| {r['epoch_minutes']:.1f} | {_sum_hours(r):,.1f} "
            f"| {r['peak_mb'] / 1000:.1f} |"
        )
    models = {r["model"] for r in found["level_1"]}
    several = len(models) + (TWICE in models)
    which = "all nine" if several == NINE else f"{several} of nine"
    lines += [
        f"| **{which}**, blank or not as on three joined | | | | **{hours['level_1']:,.1f}** | |",
        f"| on eight such | | | | {hours['level_1'] / 8:,.1f} | |",
    ]
    lines += ["", f"| level 2, {trained:,} clips | seconds a fit | memory GB |", "| --- | ---: | ---: |"]
    named = {"nn": "nn, each of its ten networks"}
    for r in found["level_2"]:
        name = named.get(r["stacker"], r["stacker"])
        lines.append(f"| {name} | {r['seconds']:,.0f} | {r['peak_mb'] / 1000:.1f} |")
    return "\n".join(lines) + "\n"
