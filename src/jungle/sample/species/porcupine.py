"""Porcupine: a round back of banded quills over short quick steps."""

from __future__ import annotations

import numpy as np

from jungle.sample import coats
from jungle.sample.anatomy import Joints, Leg, Moment, carried, mix, place_leg, vec
from jungle.sample.animal import EYE, Animal, Quills, dye, limb, scale, spine
from jungle.sample.body import Material, Part


def porcupine(rng: np.random.Generator) -> Animal:
    """A round back of banded quills over quick short steps."""
    k = float(rng.uniform(0.9, 1.15))
    brown = dye((0.15, 0.12, 0.1), rng, 0.2)
    fur = Material(brown, (0.2, 0.16, 0.13), mark=(0.75, 0.7, 0.6), marked=0.25, grain=0.5, infrared=1.2)
    feet = Material((0.12, 0.09, 0.08), (0.12, 0.09, 0.08), grain=0.1)
    snout = Material((0.28, 0.23, 0.2), (0.3, 0.25, 0.22), grain=0.25)
    legs = {
        "rh": Leg(-0.2, 0.17, -0.1, 0.1, 0.09, 0.04, 1, 0.0, rake=0.5),
        "rf": Leg(0.17, 0.16, -0.09, 0.09, 0.08, 0.03, -1, 0.3),
        "lh": Leg(-0.2, 0.17, 0.1, 0.1, 0.09, 0.04, 1, 0.5, rake=0.5),
        "lf": Leg(0.17, 0.16, 0.09, 0.09, 0.08, 0.03, -1, 0.8),
    }
    stride = 0.3

    def pose(m: Moment) -> Joints:
        j: Joints = {}
        for name, leg in legs.items():
            place_leg(j, name, leg, m, stride, 0.6, 0.04)
        waddle = 0.012 * np.sin(2 * np.pi * m.phase) * m.walking
        j["rump"], j["back"], j["chest"] = (
            vec(-0.26, 0.25, waddle),
            vec(-0.06, 0.29, waddle),
            vec(0.17, 0.24, -waddle),
        )
        head = carried(vec(0.36, mix(0.22, 0.14, m.lowered)), -0.35 - 0.3 * m.lowered, m.turned)
        j["skull"], j["face"], j["nose"] = head(0, 0, 0), head(0.08, 0, 0), head(0.12, -0.01, 0)
        for side, z in (("l", 1), ("r", -1)):
            j[f"{side}eye"], j[f"{side}ear"] = head(0.05, 0.03, 0.055 * z), head(-0.02, 0.04, 0.07 * z)
        return j

    parts = spine(("rump", "back", "chest"), (0.15, 0.19, 0.14), 0, shag=0.015)
    parts += [
        Part("chest", "skull", 0.12, 0.08, 0, shag=0.012),
        Part("skull", "face", 0.075, 0.055, 2),
        Part("face", "nose", 0.05, 0.035, 2),
    ]
    for side in "lr":
        parts += limb(f"{side}h", (0.08, 0.06, 0.035, 0.032), 1) + limb(
            f"{side}f", (0.07, 0.05, 0.033, 0.03), 1
        )
        parts += [
            Part(f"{side}eye", f"{side}eye", 0.012, 0.012, 3),
            Part(f"{side}ear", f"{side}ear", 0.025, 0.025, 1),
        ]
    coat = coats.plain(coats.hair(rng), coats.dots(rng, 9.0, 1.5))
    return scale(
        Animal(
            "porcupine",
            [fur, feet, snout, EYE],
            parts,
            pose,
            coat=coat,
            speed=0.5,
            stride=stride,
            height=0.6,
            length=1.0,
            quills=_quills(rng),
        ),
        k,
    )


def _quills(rng: np.random.Generator) -> Quills:
    """Long quills on back and rump, a crest of bristles on the neck."""
    names: list[str] = []
    roots, tips = [], []
    for joint, n, radius, longest, lean in (
        ("chest", 30, 0.11, 0.24, 2.3),
        ("back", 80, 0.17, 0.34, 2.45),
        ("rump", 80, 0.14, 0.3, 2.75),
    ):
        around = rng.uniform(-1.75, 1.75, n)
        root = np.stack([rng.uniform(-0.12, 0.1, n), radius * np.cos(around), radius * np.sin(around)], 1)
        angle = lean + rng.normal(0, 0.14, n)
        way = np.stack([np.cos(angle), np.sin(angle) * np.cos(around) + 0.1, np.sin(around) * 0.55], 1)
        size = longest * rng.uniform(0.65, 1.05, n) * (1 - 0.3 * np.abs(around) / 1.75)
        names += [joint] * n
        roots.append(root)
        tips.append(root + way * (size / np.linalg.norm(way, axis=1))[:, None])
    return Quills(names, np.concatenate(roots), np.concatenate(tips))
