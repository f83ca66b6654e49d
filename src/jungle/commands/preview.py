"""`jungle preview`: one picture of training clips as training will see them."""

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jungle.config import PreviewConfig, parse_config
from jungle.console import log, print_result
from jungle.data.augment import Augmentation
from jungle.data.clip_reader import VideoReader
from jungle.data.loader import Sample
from jungle.files import replace_atomically
from jungle.training import clips as training_clips

SHOWN = 2  # frames of a clip side by side: what is drawn for a clip must be the same in both
WIDTH, GAP, LINE = 160, 6, 18  # pixels: of a frame, between them, of a line of text
Row = tuple[str, list[Sample | str]]  # a title, and the clip as read each time


def main(raw: Any) -> None:
    """Write the picture: a row a clip; as it is, then as it is in each of the first epochs.

    Frames are read and augmented as in training, by the same seed.

    Raises:
        UserError: the labels are wrong.
    """
    cfg = parse_config(PreviewConfig, raw)
    rows = read_rows(cfg)
    write_sheet(rows, cfg.out)
    if cfg.augment.mixup or cfg.augment.cutmix:
        log.info("mixup and cutmix join the clips of a batch as it is trained on; they are not shown")
    print_result(f"preview: {cfg.out}")


def read_rows(cfg: PreviewConfig) -> list[Row]:
    """Read some training clips, plainly and then as in the first epochs."""
    from jungle.models.backbones.backbone import Backbone
    from jungle.training import build, frame_weights

    clips, _ = training_clips.load(cfg)
    train = clips.of("train")
    chosen = train.limit(cfg.clips, cfg.seed)
    keep = np.unique(np.linspace(0, len(chosen) - 1, cfg.clips).round().astype(int))
    names = chosen.table["clip"].to_list()
    # The number of a clip in the whole table is part of what is drawn for it.
    numbers = [clips.table["clip"].to_list().index(names[i]) for i in keep]
    # Only its frame size is wanted: no weights are fetched.
    backbone = Backbone(replace(build.make_backbone_spec(cfg), pretrained=False, weights=None, also=()))
    spec = build.make_clip_specs(cfg, backbone)[0]
    paths, augment = clips.table["path"].to_list(), Augmentation(**cfg.augment.picture())
    likely = frame_weights.load_frame_weights(cfg, clips)
    read: dict[int, list[Sample | str]] = {n: [] for n in numbers}
    for transform, epochs in ((None, 1), (augment, cfg.epochs)):
        how: Any = (1, cfg.data.timeout_s, cfg.seed)
        reader = VideoReader(paths, spec, *how, transform=transform, likely=likely)
        try:
            for epoch in range(epochs):
                for number, sample in reader(numbers, epoch):
                    read[number].append(sample)
        finally:
            reader.close()
    labels = clips.labels()
    titles = {n: ", ".join(c for c, y in zip(clips.classes, labels[n], strict=True) if y) for n in numbers}
    names = [unicodedata.normalize("NFC", name) for name in clips.table["clip"]]
    return [(f"{names[n]}   {titles[n] or 'no class'}", read[n]) for n in numbers]


def _font() -> Any:
    """Matplotlib's own font, which has the letters of most names; Pillow's has no accents."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", 11)


def write_sheet(rows: Sequence[Row], path: Path) -> None:
    """Write a PNG with a row a clip and `SHOWN` frames of each time that it was read."""
    read = [s for _, samples in rows for s in samples if isinstance(s, Sample)]
    height = max((round(WIDTH * s.values.shape[1] / s.values.shape[2]) for s in read), default=LINE)
    columns = max(len(samples) for _, samples in rows)
    group = SHOWN * WIDTH + 2 * GAP
    size = (GAP + columns * group, LINE + len(rows) * (height + LINE + GAP))
    sheet = Image.new("RGB", size, (250, 250, 248))
    draw, font = ImageDraw.Draw(sheet), _font()
    for column in range(columns):
        title = "as it is" if column == 0 else f"epoch {column - 1}"
        draw.text((GAP + column * group, LINE / 2), title, (30, 34, 30), font, anchor="lm")
    for row, (title, samples) in enumerate(rows):
        top = LINE + row * (height + LINE + GAP)
        draw.text((GAP, top + LINE / 2), title, (90, 96, 90), font, anchor="lm")
        for column, sample in enumerate(samples):
            left = GAP + column * group
            if isinstance(sample, str):
                draw.text((left, top + LINE + 8), sample[:48], (170, 40, 30), font, anchor="lm")
                continue
            for i, t in enumerate(np.linspace(0, len(sample.values) - 1, SHOWN).round().astype(int)):
                frame = Image.fromarray(np.ascontiguousarray(sample.values[t]))
                shown = frame.resize((WIDTH, height), Image.Resampling.LANCZOS)
                sheet.paste(shown, (left + i * (WIDTH + 1), top + LINE))
    with replace_atomically(path) as part:
        sheet.save(part, format="PNG", optimize=True)
