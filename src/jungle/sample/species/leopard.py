"""Leopard: low, long and loose."""

from __future__ import annotations

import numpy as np

from jungle.sample import coats
from jungle.sample.anatomy import Joints, Leg, Moment, carried, chain, place_leg, vec
from jungle.sample.animal import EYE, Animal, dye, limb, scale, spine
from jungle.sample.body import Material, Part


def leopard(rng: np.random.Generator) -> Animal:
    """Low, long and loose: shoulders roll, the tail hangs in a bow."""
    k = float(rng.uniform(0.9, 1.1))
    gold = dye((0.72, 0.52, 0.27), rng)
    cream = (0.86, 0.79, 0.63)
    fur = Material(gold, cream, mark=(0.07, 0.05, 0.04), marked=1.0, grain=0.14, infrared=1.05)
    legs_fur = Material(
        (gold[0] * 1.02, gold[1] * 1.05, gold[2] * 1.1),
        cream,
        mark=(0.08, 0.06, 0.05),
        marked=0.85,
        grain=0.12,
    )
    pale = Material(cream, cream, grain=0.05)
    nose = Material((0.2, 0.12, 0.1), (0.2, 0.12, 0.1), grain=0)
    legs = {
        "rh": Leg(-0.45, 0.52, -0.08, 0.24, 0.24, 0.15, 1, 0.0, rake=0.35),
        "rf": Leg(0.36, 0.48, -0.09, 0.22, 0.2, 0.09, -1, 0.18, rake=0.1),
        "lh": Leg(-0.45, 0.52, 0.08, 0.24, 0.24, 0.15, 1, 0.5, rake=0.35),
        "lf": Leg(0.36, 0.48, 0.09, 0.22, 0.2, 0.09, -1, 0.68, rake=0.1),
    }
    stride = 1.05

    def pose(m: Moment) -> Joints:
        j: Joints = {}
        for name, leg in legs.items():
            place_leg(j, name, leg, m, stride, 0.62, 0.1)
        roll = 0.025 * np.sin(4 * np.pi * m.phase) * m.walking
        j["rump"], j["hips"] = vec(-0.56, 0.55 - roll), vec(-0.42, 0.56 - roll)
        j["loin"], j["ribs"], j["chest"] = vec(-0.1, 0.53), vec(0.18, 0.51), vec(0.42, 0.52 + roll)
        for side, z in (("l", 1), ("r", -1)):
            rise = 0.03 * np.sin(2 * np.pi * (m.phase + (0.25 if z > 0 else 0.75))) * m.walking
            j[f"{side}blade"] = vec(0.36, 0.6 + rise, 0.07 * z)
        nod = 0.02 * np.sin(4 * np.pi * m.phase + 1) * m.walking
        head = carried(vec(0.74, 0.62 + nod - 0.3 * m.lowered), -0.15 - 0.4 * m.lowered, m.turned)
        j["nape"] = vec(0.56, 0.58 + nod - 0.1 * m.lowered)
        j["skull"], j["face"], j["muzzle"] = head(0, 0, 0), head(0.08, -0.01, 0), head(0.15, -0.035, 0)
        j["nose"], j["chin"] = head(0.185, -0.02, 0), head(0.13, -0.07, 0)
        for side, z in (("l", 1), ("r", -1)):
            j[f"{side}ear"], j[f"{side}eye"] = head(-0.04, 0.1, 0.075 * z), head(0.1, 0.03, 0.052 * z)
        wave = 0.35 * np.sin(1.7 * m.time)
        angles = [-2.3, -2.5, -2.75, -3.0, -3.4, -3.9, -4.3]
        chain(j, "tail", vec(-0.64, 0.58 - roll), angles, 0.125, [wave * 0.3 * i / 3 for i in range(7)])
        return j

    parts = spine(("rump", "hips", "loin", "ribs", "chest"), (0.12, 0.155, 0.145, 0.17, 0.15), 0)
    parts += [Part("chest", "nape", 0.14, 0.11, 0, u=1.5), Part("nape", "skull", 0.11, 0.095, 0, u=1.7)]
    parts += [
        Part("skull", "face", 0.1, 0.075, 0, u=0.1),
        Part("face", "muzzle", 0.065, 0.05, 2),
        Part("chin", "muzzle", 0.035, 0.04, 2),
    ]
    parts += [Part("nose", "nose", 0.022, 0.022, 3)]
    parts += limb("tail", (0.05, 0.04, 0.036, 0.034, 0.032, 0.032, 0.032, 0.036), 0)
    for side in "lr":
        parts += limb(f"{side}h", (0.14, 0.085, 0.042, 0.048), 1) + limb(
            f"{side}f", (0.1, 0.07, 0.05, 0.052), 1
        )
        parts += [
            Part(f"{side}blade", f"{side}f0", 0.085, 0.1, 0, u=0.5),
            Part(f"{side}ear", f"{side}ear", 0.035, 0.035, 0),
        ]
        parts += [Part(f"{side}eye", f"{side}eye", 0.017, 0.017, 4)]
    coat = coats.plain(coats.hair(rng), coats.rosettes(rng))
    return scale(
        Animal(
            "leopard",
            [fur, legs_fur, pale, nose, EYE],
            parts,
            pose,
            coat=coat,
            speed=0.85,
            stride=stride,
            height=0.75,
            length=2.2,
        ),
        k,
    )
