"""What a trail camera does to a picture: vignette, noise, and the bar burnt into the bottom."""

from __future__ import annotations

import datetime as dt

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jungle.sample.plan import HEIGHT, WIDTH, Shot

BAR = 13  # rows of the info bar


class Camera:
    """Turns clean pictures of one clip into frames as the camera would have written them."""

    def __init__(self, shot: Shot, rng: np.random.Generator, bar_white: bool) -> None:
        y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
        r2 = ((x / WIDTH - 0.5) / 0.5) ** 2 + ((y / HEIGHT - 0.5) / 0.5) ** 2
        dark = (0.4 if shot.night else 0.24) * rng.uniform(0.8, 1.2)
        vignette = np.round(255 / (1 + dark * r2 * 0.5 * (1 + 0.35 * r2))).astype(np.uint8)
        self._vignette = vignette if shot.night else cv2.merge([vignette] * 3)
        strength = float(rng.uniform(5.0, 8.5) if shot.night else rng.uniform(2.2, 4.5))
        size = HEIGHT + 32, WIDTH + 48
        noise = rng.standard_normal(size, np.float32) * strength
        noise += cv2.GaussianBlur(rng.standard_normal(size, np.float32), (0, 0), 1.0) * strength * 1.3
        noise += rng.standard_normal((size[0], 1), np.float32) * (0.8 if shot.night else 0.2)
        if not shot.night:
            tint = cv2.GaussianBlur(rng.standard_normal((*size, 3), np.float32), (0, 0), 0.8)
            noise = noise[..., None] + tint * strength * 0.9
        self._noise = np.clip(np.round(noise) + 128, 0, 255).astype(np.uint8)
        self._rng, self._shot, self._white = rng, shot, bar_white
        self._font = ImageFont.load_default(9.5)
        self._bars: dict[int, np.ndarray] = {}

    def expose(self, picture: np.ndarray, seconds: float) -> np.ndarray:
        """Make a frame uint8 `[H, W, 3]` of a clean picture (`[H, W]` by infrared) so far into the clip."""
        frame = cv2.multiply(picture, self._vignette, scale=1 / 255 * (1 + 0.012 * np.sin(5.1 * seconds)))
        top, left = self._rng.integers(0, 32), self._rng.integers(0, 48)
        frame = cv2.addWeighted(frame, 1, self._noise[top : top + HEIGHT, left : left + WIDTH], 1, -128)
        return cv2.merge([frame] * 3) if self._shot.night else frame

    def burn(self, frame: np.ndarray, seconds: float) -> np.ndarray:
        """Return the frame with the info bar of that second over its bottom rows."""
        frame = frame.copy()
        second = int(seconds)
        if second not in self._bars:
            self._bars[second] = self._draw_bar(second)
        frame[-BAR:] = self._bars[second]
        return frame

    def _draw_bar(self, second: int) -> np.ndarray:
        back, ink = ((235, 235, 235), (20, 20, 20)) if self._white else ((0, 0, 0), (240, 240, 240))
        image = Image.new("RGB", (WIDTH, BAR), back)
        draw, font = ImageDraw.Draw(image), self._font
        y = BAR / 2
        time = self._shot.time + dt.timedelta(seconds=second)
        draw.text((5, y), f"{time:%Y-%m-%d  %H:%M:%S}", ink, font, anchor="lm")
        left = WIDTH / 2 - 4  # of the moon, of which a second disc hides a part
        for x, fill in ((left, ink), (left + 2 + self._shot.time.day % 2, back)):
            draw.ellipse((x, y - 4, x + 8, y + 4), fill=fill)
        draw.text((WIDTH * 0.6, y), f"{self._shot.temperature}°C", ink, font, anchor="lm")
        draw.text((WIDTH - 5, y), self._shot.camera, ink, font, anchor="rm")
        return np.asarray(image)
