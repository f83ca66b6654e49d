"""Elephant: columns for legs, one foot off the ground at a time; ears and trunk never rest."""

from __future__ import annotations

import numpy as np

from jungle.sample import coats
from jungle.sample.anatomy import Joints, Leg, Moment, carried, chain, place_leg, vec
from jungle.sample.animal import EYE, Animal, dye, limb, scale, spine
from jungle.sample.body import Material, Part


def elephant(rng: np.random.Generator) -> Animal:
    """Columns for legs, one foot off the ground at a time; ears and trunk never rest."""
    k = float(rng.uniform(0.8, 1.05))
    grey = dye((0.36, 0.32, 0.29), rng, 0.15)
    dark = (grey[0] * 0.8, grey[1] * 0.8, grey[2] * 0.8)
    skin = Material(grey, dark, grain=0.17, infrared=1.3)
    ear = Material((grey[0] * 0.93, grey[1] * 0.9, grey[2] * 0.9), dark, grain=0.12, infrared=1.3)
    ivory = Material((0.86, 0.82, 0.7), (0.8, 0.75, 0.62), grain=0.02, gloss=0.1)
    nail = Material((0.45, 0.4, 0.35), (0.45, 0.4, 0.35), grain=0.05)
    legs = {
        "rh": Leg(-0.62, 1.35, -0.26, 0.62, 0.52, 0.24, 1, 0.0),
        "rf": Leg(0.66, 1.35, -0.28, 0.62, 0.55, 0.22, -1, 0.25),
        "lh": Leg(-0.62, 1.35, 0.26, 0.62, 0.52, 0.24, 1, 0.5),
        "lf": Leg(0.66, 1.35, 0.28, 0.62, 0.55, 0.22, -1, 0.75),
    }
    tusk = float(rng.uniform(0.2, 0.5))
    stride = 1.7

    def pose(m: Moment) -> Joints:
        j: Joints = {}
        for name, leg in legs.items():
            place_leg(j, name, leg, m, stride, 0.72, 0.16)
        bob = 0.02 * np.sin(4 * np.pi * m.phase) * m.walking
        j["rump"], j["hips"] = vec(-0.92, 1.5 + bob), vec(-0.62, 1.6 + bob)
        j["belly"], j["chest"] = vec(0.0, 1.42 + bob), vec(0.62, 1.62 + bob)
        j["withers"] = vec(0.85, 1.85 + bob)
        nod = 0.07 * np.sin(2 * np.pi * m.phase + 0.6)
        head = carried(vec(1.3, 2.02 + bob - 0.25 * m.lowered), nod - 0.3 * m.lowered, m.turned)
        j["skull"], j["brow"], j["jaw"] = head(0, 0.05, 0), head(0.2, -0.08, 0), head(0.1, -0.4, 0)
        j["chin"] = head(0.2, -0.55, 0)
        flap = 0.45 + 0.35 * np.sin(1.9 * m.time)
        for side, z in (("l", 1), ("r", -1)):
            root = head(-0.08, 0.12, 0.24 * z)
            j[f"{side}ear"] = root
            for i, (back, up) in enumerate(((-0.28, 0.2), (-0.5, -0.04), (-0.46, -0.3), (-0.26, -0.55))):
                away = flap * (0.5 + 0.12 * i)
                j[f"{side}ear{i}"] = head(
                    -0.08 + back * np.cos(away), 0.12 + up, (0.24 + 0.75 * np.sin(away) * -back) * z
                )
            j[f"{side}tusk0"], j[f"{side}tusk1"] = (
                head(0.22, -0.42, 0.17 * z),
                head(0.32 + tusk, -0.62 - 0.15 * tusk, 0.24 * z),
            )
            j[f"{side}eye"] = head(0.24, -0.06, 0.26 * z)
        swing = 0.28 * np.sin(2 * np.pi * m.phase * 0.5 + 1.0) + 0.12 * np.sin(1.3 * m.time)
        reach = m.lowered * 0.9
        angles = [-1.25, -1.5, -1.6, -1.65 - 0.3 * reach, -1.5 - 0.7 * reach, -1.1 - 1.6 * reach]
        angles = [a + swing * s for a, s in zip(angles, (0, 0.3, 0.6, 1.0, 1.5, 1.9), strict=True)]
        chain(j, "trunk", head(0.3, -0.22, 0), angles, 0.27, [0.1 * swing * i for i in range(6)])
        wag = 0.5 * np.sin(2.3 * m.time)
        chain(
            j,
            "tail",
            vec(-1.22, 1.62 + bob),
            [-2.0, -1.7, -1.6, -1.55],
            0.25,
            [wag, wag, wag * 0.7, wag * 0.5],
        )
        return j

    parts = spine(("rump", "hips", "belly", "chest", "withers"), (0.4, 0.52, 0.62, 0.52, 0.32), 0)
    parts += [Part("withers", "skull", 0.4, 0.36, 0), Part("skull", "brow", 0.36, 0.26, 0)]
    parts += [Part("brow", "jaw", 0.26, 0.22, 0), Part("jaw", "chin", 0.2, 0.09, 0)]
    parts += limb("trunk", (0.2, 0.17, 0.145, 0.12, 0.1, 0.08, 0.06), 0)
    parts += limb("tail", (0.07, 0.04, 0.03, 0.03, 0.05), 0)
    for side in "lr":
        parts += limb(f"{side}h", (0.36, 0.25, 0.17, 0.19), 0) + limb(f"{side}f", (0.33, 0.23, 0.17, 0.19), 0)
        parts += [Part(f"{side}h3", f"{side}h3", 0.2, 0.2, 3), Part(f"{side}f3", f"{side}f3", 0.2, 0.2, 3)]
        parts += [
            Part(f"{side}ear", f"{side}ear{i}", 0.1, r, 1, u=0.2 * i)
            for i, r in enumerate((0.14, 0.2, 0.2, 0.12))
        ]
        parts += [
            Part(f"{side}tusk0", f"{side}tusk1", 0.055, 0.02, 2),
            Part(f"{side}eye", f"{side}eye", 0.035, 0.035, 4),
        ]
    coat = coats.plain(coats.wrinkles(rng))
    return scale(
        Animal(
            "elephant",
            [skin, ear, ivory, nail, EYE],
            parts,
            pose,
            coat=coat,
            speed=0.95,
            stride=stride,
            height=2.4,
            length=3.4,
        ),
        k,
    )
