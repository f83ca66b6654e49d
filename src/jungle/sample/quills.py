"""Quills: stiff hairs in bands of black and white, drawn as lines over the body they grow from."""

from __future__ import annotations

import cv2
import numpy as np

from jungle.sample.animal import Quills
from jungle.sample.body import Surface, project
from jungle.sample.shading import Light

BANDS = ((0.0, 0.3, 0.1), (0.3, 0.55, 0.8), (0.55, 0.8, 0.12), (0.8, 1.0, 0.9))  # from, to, brightness


def bristle(
    seen: Surface,
    colour: np.ndarray,
    quills: Quills,
    joints: dict[str, np.ndarray],
    yaw: float,
    ppm: float,
    light: Light,
) -> None:
    """Draw quills into a shaded surface and its alpha, in place.

    Args:
        seen: the surface; its alpha grows.
        colour: float32 `[h, w, 3]`.
        quills: those of the animal.
        joints: where its joints are in the frame, pixels.
        yaw: where it looks, radians.
        ppm: pixels per metre.
        light: by day its colours, under infrared its strength.
    """
    at = np.concatenate([joints[name] for name in quills.joints]).reshape(-1, 3)
    root = project(quills.roots, yaw, ppm, (0.0, 0.0)) + at
    tip = project(quills.tips, yaw, ppm, (0.0, 0.0)) + at
    shown = np.flatnonzero(root[:, 2] - at[:, 2] > -0.06 * ppm)
    shown = shown[np.argsort(root[shown, 2])]
    tint = (
        np.full(3, light.sun[0] * 0.95)
        if light.infrared
        else (np.array(light.sun) * 0.6 + np.array(light.sky) * 0.7)
    )
    ink = np.clip(colour * 255, 0, 255).astype(np.uint8)
    before = ink.copy()
    cover = (seen.alpha * 255).astype(np.uint8)
    offset = np.array([seen.x, seen.y])
    a, b = root[shown, :2] - offset, tip[shown, :2] - offset
    # Drawn in a few depths, far ones first: one call a band is far cheaper than one a quill.
    for group in np.array_split(np.arange(len(shown)), 5):
        for start, stop, bright in BANDS:
            from_to = np.stack([a + (b - a) * start, a + (b - a) * stop], 1)[group]
            lines = list(np.round(from_to * 16).astype(np.int32))
            shade = np.clip(tint * bright * 255, 0, 255).tolist()
            cv2.polylines(ink, lines, False, shade, 1, cv2.LINE_AA, 4)
            cv2.polylines(cover, lines, False, 255, 1, cv2.LINE_AA, 4)  # type: ignore[call-overload]  # a grey one
    changed = np.any(ink != before, axis=2)
    np.copyto(colour, ink.astype(np.float32) / 255, where=changed[..., None])
    np.maximum(seen.alpha, cover.astype(np.float32) / 255, out=seen.alpha)
