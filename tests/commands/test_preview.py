import numpy as np
import pytest
from PIL import Image

from jungle.cli.entry import main
from jungle.commands.preview import GAP, LINE, SHOWN, WIDTH
from jungle.config.compose import compose
from jungle.config.folder import config_dir


def sheet(survey, out, *more: str) -> np.ndarray:
    data = ["data=csv", f"data.root={survey}", f"data.labels={survey / 'labels.csv'}", "model.size=64x96"]
    args = [*data, "frames.count=4", "clips=3", "epochs=2", f"out={out}", *more]
    assert main(["preview", *args]) == 0
    return np.asarray(Image.open(out)).astype(int)


def test_a_sheet_shows_clips_as_they_are_and_as_training_sees_them(survey, tmp_path, capsys) -> None:
    made = sheet(survey, tmp_path / "a.png", "augment.infrared=1")
    assert f"preview: {tmp_path / 'a.png'}" in capsys.readouterr().out
    height = round(WIDTH * 64 / 96)
    group = SHOWN * WIDTH + 2 * GAP
    assert made.shape == (LINE + 3 * (height + LINE + GAP), GAP + 3 * group, 3)
    tops = [LINE + row * (height + LINE + GAP) + LINE for row in range(3)]
    columns = [
        np.concatenate([made[t : t + height, GAP + c * group :][:, :WIDTH] for t in tops]) for c in range(3)
    ]
    colourful = [np.abs(c[..., 0] - c[..., 2]).max() for c in columns]
    assert colourful[0] > 60  # a coloured square crosses the clips
    assert colourful[1:] == [0, 0]
    assert np.abs(columns[1] - columns[2]).mean() > 2  # each epoch is another
    assert np.array_equal(made, sheet(survey, tmp_path / "b.png", "augment.infrared=1"))
    plain = sheet(survey, tmp_path / "c.png", "augment=none", "frames=uniform")
    assert np.array_equal(
        plain[tops[0] : tops[0] + height, GAP:][:, :WIDTH],
        plain[tops[0] : tops[0] + height, GAP + group :][:, :WIDTH],
    )


def test_a_clip_that_cannot_be_read_says_why_in_its_place(survey, tmp_path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    for name in ("lion_01.mp4", "lion_04.mp4"):
        (tmp_path / name).write_bytes((survey / "clips" / name).read_bytes())
    rows = ["bad.mp4,a,train", "lion_01.mp4,b,train", "lion_04.mp4,b,val"]
    (tmp_path / "l.csv").write_text("\n".join(["filepath,label,split", *rows]))
    args = ["data=csv", f"data.root={tmp_path}", f"data.labels={tmp_path / 'l.csv'}", "model.size=64x96"]
    assert main(["preview", *args, "clips=2", "epochs=1", f"out={tmp_path / 'p.png'}"]) == 0
    pixels = np.asarray(Image.open(tmp_path / "p.png")).reshape(-1, 3)
    assert (pixels == (170, 40, 30)).all(1).any()


@pytest.mark.parametrize("wrong", ["augment=heavy", "clips=0", "epoch=3"])
def test_what_is_wrong_is_said(wrong: str, capsys) -> None:
    assert main(["preview", wrong]) == 2
    assert "error:" in capsys.readouterr().err


def test_clips_are_read_as_training_reads_them_where_nothing_is_said() -> None:
    by_verb = {verb: compose(verb, [], config_dir()).decoder for verb in ("preview", "train")}
    assert by_verb["preview"].name == by_verb["train"].name == "auto"
    assert by_verb["preview"].device == by_verb["train"].device
