"""Duiker: a small antelope with an arched back on thin legs."""

from __future__ import annotations

import numpy as np

from jungle.sample import coats
from jungle.sample.anatomy import Joints, Leg, Moment, carried, chain, mix, place_leg, vec
from jungle.sample.animal import EYE, Animal, dye, limb, scale, spine
from jungle.sample.body import Material, Part


def duiker(rng: np.random.Generator) -> Animal:
    """Arched back on thin legs, high careful steps, a flicking tail."""
    k = float(rng.uniform(0.85, 1.1))
    red = dye(((0.62, 0.33, 0.16), (0.55, 0.36, 0.22), (0.48, 0.37, 0.27))[int(rng.integers(3))], rng)
    pale = (min(red[0] * 1.25, 1), red[1] * 1.35, red[2] * 1.5)
    coat_m = Material(red, pale, mark=(0.12, 0.09, 0.07), marked=0.0, grain=0.12, infrared=1.1)
    leg_m = Material(
        (red[0] * 0.62, red[1] * 0.6, red[2] * 0.6), (0.25, 0.18, 0.13), grain=0.08, infrared=1.1
    )
    dark = Material((0.13, 0.1, 0.09), (0.13, 0.1, 0.09), grain=0.05, gloss=0.15)
    white = Material((0.85, 0.82, 0.75), (0.9, 0.87, 0.8), grain=0.03)
    legs = {
        "rh": Leg(-0.26, 0.45, -0.055, 0.18, 0.18, 0.16, 1, 0.0, rake=0.22),
        "rf": Leg(0.22, 0.4, -0.05, 0.14, 0.15, 0.13, -1, 0.25, rake=0.0, stand=0.02),
        "lh": Leg(-0.26, 0.45, 0.055, 0.18, 0.18, 0.16, 1, 0.5, rake=0.22),
        "lf": Leg(0.22, 0.4, 0.05, 0.14, 0.15, 0.13, -1, 0.75, rake=0.0, stand=0.02),
    }
    stride = 0.62

    def pose(m: Moment) -> Joints:
        j: Joints = {}
        for name, leg in legs.items():
            place_leg(j, name, leg, m, stride, 0.58, 0.11)
        bob = 0.012 * np.sin(4 * np.pi * m.phase) * m.walking
        j["rump"], j["hips"] = vec(-0.34, 0.46 + bob), vec(-0.22, 0.48 + bob)
        j["loin"], j["ribs"], j["chest"] = (
            vec(-0.04, 0.47 + bob),
            vec(0.12, 0.43 + bob),
            vec(0.25, 0.41 + bob),
        )
        step = 0.015 * np.sin(4 * np.pi * m.phase + 0.8) * m.walking
        at = vec(mix(0.46, 0.5, m.lowered) + step, mix(0.6, 0.15, m.lowered) + bob)
        head = carried(at, mix(-0.3, -1.0, m.lowered), m.turned)
        j["nape"] = vec(0.36, mix(0.5, 0.33, m.lowered) + bob)
        j["skull"], j["face"], j["muzzle"] = head(0, 0, 0), head(0.06, -0.01, 0), head(0.15, -0.035, 0)
        j["nose"] = head(0.17, -0.035, 0)
        flick = 0.25 * max(0.0, np.sin(2.9 * m.time)) ** 4
        for side, z in (("l", 1), ("r", -1)):
            j[f"{side}ear0"], j[f"{side}ear1"] = (
                head(-0.04, 0.04, 0.045 * z),
                head(-0.1 + flick * 0.1, 0.1, (0.1 + 0.1 * flick) * z),
            )
            j[f"{side}horn0"], j[f"{side}horn1"] = head(-0.01, 0.055, 0.02 * z), head(-0.1, 0.12, 0.025 * z)
            j[f"{side}eye"] = head(0.05, 0.02, 0.047 * z)
        wag = 0.7 * np.sin(7 * m.time) * (np.sin(0.9 * m.time) > 0.2)
        chain(j, "tail", vec(-0.42, 0.49 + bob), [-1.9, -1.7], 0.075, [wag, wag])
        return j

    parts = spine(("rump", "hips", "loin", "ribs", "chest"), (0.1, 0.13, 0.13, 0.135, 0.115), 0)
    parts += [Part("chest", "nape", 0.095, 0.055, 0), Part("nape", "skull", 0.055, 0.052, 0)]
    parts += [
        Part("skull", "face", 0.056, 0.045, 0),
        Part("face", "muzzle", 0.043, 0.024, 0),
        Part("nose", "nose", 0.02, 0.02, 2),
    ]
    parts += limb("tail", (0.025, 0.025, 0.02), 3)
    for side in "lr":
        parts += limb(f"{side}h", (0.105, 0.05, 0.02, 0.016), 1) + limb(
            f"{side}f", (0.075, 0.036, 0.019, 0.016), 1
        )
        parts += [
            Part(f"{side}h0", f"{side}h1", 0.11, 0.05, 0),
            Part(f"{side}f0", f"{side}f1", 0.08, 0.038, 0),
        ]
        parts += [
            Part(f"{side}h3", f"{side}h3", 0.021, 0.021, 2),
            Part(f"{side}f3", f"{side}f3", 0.021, 0.021, 2),
        ]
        parts += [
            Part(f"{side}ear0", f"{side}ear1", 0.028, 0.018, 0),
            Part(f"{side}horn0", f"{side}horn1", 0.014, 0.005, 2),
        ]
        parts += [Part(f"{side}eye", f"{side}eye", 0.014, 0.014, 4)]
    coat = coats.plain(coats.hair(rng))
    return scale(
        Animal(
            "duiker",
            [coat_m, leg_m, dark, white, EYE],
            parts,
            pose,
            coat=coat,
            speed=0.62,
            stride=stride,
            height=0.75,
            length=0.95,
        ),
        k,
    )
