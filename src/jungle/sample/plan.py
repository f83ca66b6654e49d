"""What is filmed: which camera, when, by day or by night, and which animals. Pure numbers, no drawing."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np

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


@dataclass(frozen=True)
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


def counts(clips: int) -> dict[str, int]:
    """Clips per class, as near to `SHARES` as whole numbers allow, and at least one of each."""
    whole = {name: max(1, int(clips * share)) for name, share in SHARES.items()}
    while sum(whole.values()) < clips:
        whole[max(whole, key=lambda name: SHARES[name] * clips - whole[name])] += 1
    while sum(whole.values()) > clips:
        whole[max(whole, key=lambda name: whole[name] - SHARES[name] * clips)] -= 1
    return whole


def plan(clips: int, sites: int, seed: int) -> list[Shot]:
    """The shots of a sample, fixed by its three numbers.

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
    site_split = _site_splits(sites, rng)
    codec = _in_turn(["h264", "mjpeg"], sites, rng)
    fps = _in_turn([15, 15, 15, 16], sites, rng)
    serial = rng.choice(np.arange(11, 99), size=sites, replace=sites > 88)
    maker = rng.choice(["CAM", "TRAIL", "JC"], size=sites)

    rows: list[tuple[str, int, bool]] = []
    for name, n in counts(clips).items():
        nights = _in_turn([False, True], n, rng)
        for split, members in site_split.items():
            share = _deal(n)[split]
            turn = _in_turn(members, share, rng)
            rows += [(name, site, nights.pop()) for site in turn]
    order = rng.permutation(len(rows))
    names = _filenames(len(rows), rng)
    partner = _companions([rows[i] for i in order])

    shots = []
    for index, row in enumerate(order):
        name, site, night = rows[row]
        labels = tuple(sorted({name, *partner.get(index, ())}))
        minute = int(
            rng.integers(19 * 60 + 40, 29 * 60 + 10) if night else rng.integers(6 * 60 + 50, 17 * 60 + 40)
        )
        day = dt.datetime(2025, 2, 1) + dt.timedelta(days=int(rng.integers(0, 120)))
        time = day + dt.timedelta(minutes=minute, seconds=int(rng.integers(0, 60)))
        warm = 31 - 9 * abs(minute / 60 - 14) / 7 if not night else 20
        shots.append(
            Shot(
                index=index,
                filename=names[index] + (".mp4" if codec[site] == "h264" else ".avi"),
                site=site,
                camera=f"{maker[site]}{serial[site]}",
                split=next(s for s, members in site_split.items() if site in members),
                labels=labels,
                night=night,
                time=time,
                temperature=round(warm + rng.normal(0, 2)),
                codec=codec[site],
                fps=fps[site],
                frames=int(fps[site] * rng.triangular(4.0, 4.1, 5.7)) + 1,
            )
        )
    return shots


def _site_splits(sites: int, rng: np.random.Generator) -> dict[str, list[int]]:
    order = rng.permutation(sites).tolist()
    val = max(1, round(sites * SPLITS["val"]))
    test = max(1, round(sites * SPLITS["test"]))
    return {"val": order[:val], "test": order[val : val + test], "train": order[val + test :]}


def _deal(n: int) -> dict[str, int]:
    """`n` clips of a class over the splits; each split gets one as soon as there are three."""
    test = max(1, round(n * SPLITS["test"])) if n >= 3 else 0
    val = max(1, round(n * SPLITS["val"])) if n >= 2 else 0
    return {"train": n - val - test, "val": val, "test": test}


def _in_turn(choices: list, n: int, rng: np.random.Generator) -> list:
    """`n` draws that use every choice equally often, in random order."""
    deck = [choices[i] for _ in range(n // len(choices) + 1) for i in rng.permutation(len(choices))][:n]
    return [deck[i] for i in rng.permutation(n)]


def _filenames(n: int, rng: np.random.Generator) -> list[str]:
    names: dict[str, None] = {}
    while len(names) < n:
        names["".join(rng.choice(LETTERS, 10))] = None
    # Two names that differ in case alone would be one file on some disks.
    unique = {name.lower(): name for name in names}
    return list(unique.values()) if len(unique) == n else _filenames(n, rng)


def _companions(rows: list[tuple[str, int, bool]]) -> dict[int, tuple[str, ...]]:
    """Which shots show a second animal: by day, and only where the class has clips to spare."""
    partner: dict[int, tuple[str, ...]] = {}
    if len(rows) < 100:
        return partner
    for first, second in COMPANIONS:
        found = next(
            (i for i, row in enumerate(rows) if row[0] == first and not row[2] and i not in partner), None
        )
        if found is not None:
            partner[found] = (second,)
    return partner
