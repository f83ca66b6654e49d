"""The shots of a sample: which camera, when, by day or by night, and which animals."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

T = TypeVar("T")
WIDTH, HEIGHT = 320, 180  # pixels of a frame

# The competition's classes in the order of its files.
CLASSES = (
    "bird", "blank", "cattle", "chimpanzee", "elephant", "forest buffalo", "gorilla", "hippopotamus",
    "human", "hyena", "large ungulate", "leopard", "lion", "other (non-primate)", "other (primate)",
    "pangolin", "porcupine", "reptile", "rodent", "small antelope", "small cat", "wild dog", "duiker", "hog",
)  # fmt: skip

# Share of the clips. Blank leads, as on any disk of camera-trap clips, though less than in the field.
SHARES = {
    "blank": 0.30,
    "duiker": 0.12,
    "human": 0.11,
    "bird": 0.11,
    "chimpanzee": 0.10,
    "elephant": 0.09,
    "porcupine": 0.085,
    "leopard": 0.085,
}
SPLITS = {"train": 0.60, "val": 0.15, "test": 0.25}
COMPANIONS = (("elephant", "bird"), ("duiker", "bird"), ("chimpanzee", "bird"))  # seen together, once each
LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"))


@dataclass(frozen=True, slots=True)
class Shot:
    """One clip to be rendered."""

    index: int
    filename: str
    site: int
    camera: str
    """The name burnt into the info bar."""
    split: str
    labels: tuple[str, ...]
    night: bool
    time: dt.datetime
    temperature: int
    """Degrees Celsius."""
    codec: str
    """`h264` (MP4) or `mjpeg` (AVI): a property of the site's camera."""
    fps: int
    frames: int

    @property
    def site_name(self) -> str:
        """The site as tables write it."""
        return f"site{self.site + 1:02d}"


def plan(clips: int, sites: int, seed: int) -> list[Shot]:
    """Plan the shots of a sample, fixed by its three numbers.

    Classes are dealt to splits in proportion, then to the sites of a split in turn, and to day and night in
    turn: neither the site, the codec, the hour nor the info bar says which animal comes.

    Args:
        clips: how many clips.
        sites: how many camera sites, at least 3: one a split.
        seed: everything random follows from it.
    """
    if sites < 3:
        raise ValueError(f"sites: {sites} cannot be split three ways; give 3 or more.")
    rng = np.random.default_rng([seed, 1])
    members = _split_sites(sites, rng)
    split_of = {site: split for split, some in members.items() for site in some}
    codec = _draw_in_turn(["h264", "mjpeg"], sites, rng)
    fps = _draw_in_turn([15, 15, 15, 16], sites, rng)
    serial = rng.choice(np.arange(11, 99), size=sites, replace=sites > 88)
    maker = rng.choice(["CAM", "TRAIL", "JC"], size=sites)
    rows: list[tuple[str, int, bool]] = []
    for name, n in _count_clips(clips).items():
        nights = _draw_in_turn([False, True], n, rng)
        for split, share in _deal(n).items():
            rows += [(name, site, nights.pop()) for site in _draw_in_turn(members[split], share, rng)]
    rows = [rows[i] for i in rng.permutation(len(rows))]
    names = _name_files(len(rows), rng)
    partner = _add_companions(rows)
    shots = []
    for index, (name, site, night) in enumerate(rows):
        early, late = (19 * 60 + 40, 29 * 60 + 10) if night else (6 * 60 + 50, 17 * 60 + 40)
        minute = int(rng.integers(early, late))
        day = dt.datetime(2025, 2, 1) + dt.timedelta(days=int(rng.integers(0, 120)))
        time = day + dt.timedelta(minutes=minute, seconds=int(rng.integers(0, 60)))
        warm = 20 if night else 31 - 9 * abs(minute / 60 - 14) / 7
        shots.append(
            Shot(
                index=index,
                filename=names[index] + (".mp4" if codec[site] == "h264" else ".avi"),
                site=site,
                camera=f"{maker[site]}{serial[site]}",
                split=split_of[site],
                labels=tuple(sorted({name, *partner.get(index, ())})),
                night=night,
                time=time,
                temperature=round(warm + rng.normal(0, 2)),
                codec=codec[site],
                fps=fps[site],
                frames=int(fps[site] * rng.triangular(4.0, 4.1, 5.7)) + 1,
            )
        )
    return shots


def _count_clips(clips: int) -> dict[str, int]:
    """Return the clips of each class: at least one, else as near to `SHARES` as whole numbers allow."""
    whole = {name: max(1, int(clips * share)) for name, share in SHARES.items()}
    while sum(whole.values()) != clips:
        step = 1 if sum(whole.values()) < clips else -1
        whole[max(whole, key=lambda name: step * (SHARES[name] * clips - whole[name]))] += step
    return whole


def _split_sites(sites: int, rng: np.random.Generator) -> dict[str, list[int]]:
    order = rng.permutation(sites).tolist()
    val = max(1, round(sites * SPLITS["val"]))
    test = max(1, round(sites * SPLITS["test"]))
    return {"val": order[:val], "test": order[val : val + test], "train": order[val + test :]}


def _deal(n: int) -> dict[str, int]:
    """Deal `n` clips of a class to the splits; each split gets one as soon as there are three."""
    test = max(1, round(n * SPLITS["test"])) if n >= 3 else 0
    val = max(1, round(n * SPLITS["val"])) if n >= 2 else 0
    return {"val": val, "test": test, "train": n - val - test}


def _draw_in_turn(choices: Sequence[T], n: int, rng: np.random.Generator) -> list[T]:
    """Return `n` draws that use every choice equally often, in random order."""
    deck = [choices[i] for _ in range(n // len(choices) + 1) for i in rng.permutation(len(choices))][:n]
    return [deck[i] for i in rng.permutation(n)]


def _name_files(n: int, rng: np.random.Generator) -> list[str]:
    names: dict[str, str] = {}  # two names that differ in case alone would be one file on some disks
    while len(names) < n:
        name = "".join(rng.choice(LETTERS, 10))
        names.setdefault(name.lower(), name)
    return list(names.values())


def _add_companions(rows: list[tuple[str, int, bool]]) -> dict[int, tuple[str, ...]]:
    """Choose the shots that show a second animal: by day, and only where the class has clips to spare."""
    partner: dict[int, tuple[str, ...]] = {}
    for first, second in COMPANIONS if len(rows) >= 100 else ():
        found = (i for i, (name, _, night) in enumerate(rows) if name == first and not night)
        if (index := next((i for i in found if i not in partner), None)) is not None:
            partner[index] = (second,)
    return partner
