import unicodedata

import polars as pl
import pytest

from jungle.data import predictions
from jungle.errors import UsageError
from jungle.export.submission import read_template, write_submission
from jungle.prediction.requests import ClipRequest, match_template

CLASSES = ("leopard", "écureuil", "blank")
FOUND = [
    ClipRequest(n, f"/disk/{n}")
    for n in ("cam1/IMG_0.MP4", "cam1/IMG_1.MP4", "cam2/IMG_1.MP4", "cam2/IMG_2.MP4")
]


def template(tmp_path, *names, head="filename,leopard,écureuil,blank"):
    path = tmp_path / "template.csv"
    path.write_text(head + "\n" + "".join(f"{n},0,0,0\n" for n in names), encoding="utf-8")
    return read_template(path)


@pytest.mark.parametrize(
    ("name", "hit"),
    [
        ("cam1/IMG_0.MP4", 0),
        ("cam1/IMG_0.mp4", 0),
        ("CAM1/img_0.mp4", 0),
        ("cam1\\IMG_0.MP4", 0),
        ("./cam1//IMG_0.MP4", 0),
        ("IMG_2.mp4", 3),
        ("C:\\Videos\\IMG_2.MP4", 3),
    ],
)
def test_rows_are_found_as_labels_are(tmp_path, name, hit):
    asks = match_template(template(tmp_path, name, "cam2/IMG_1.MP4"), FOUND)
    assert asks[0] == ClipRequest(name, None if hit is None else FOUND[hit].path)
    assert asks[1].path == FOUND[2].path


def test_what_fits_two_videos_or_two_rows_is_asked(tmp_path):
    with pytest.raises(UsageError, match=r"IMG_1\.MP4 \(cam1/IMG_1\.MP4 or cam2/IMG_1\.MP4\)"):
        match_template(template(tmp_path, "IMG_1.MP4", "cam1/IMG_0.MP4"), FOUND)
    two = [ClipRequest("a/x.MP4", "/disk/1"), ClipRequest("a/x.Mp4", "/disk/2")]
    with pytest.raises(UsageError, match=r"fits several videos.*a/x\.mp4 \(a/x\.MP4 or a/x\.Mp4\)"):
        match_template(template(tmp_path, "a/x.mp4"), two)
    with pytest.raises(UsageError, match="are both the video"):
        match_template(template(tmp_path, "cam1/IMG_0.MP4", "cam1/IMG_0.mp4"), FOUND)
    with pytest.raises(UsageError, match=r"must name each clip once: a\.mp4 comes twice"):
        template(tmp_path, "a.mp4", "a.mp4")


def test_classes_are_found_by_fold_and_written_as_the_template_has_them(tmp_path, caplog):
    head = f"filename,Leopard,{unicodedata.normalize('NFD', 'écureuil')},blank"
    made = template(tmp_path, "cam1/IMG_0.mp4", head=head)
    made.check_classes(CLASSES)
    assert "'Leopard' is 'leopard'" in caplog.text
    table = pl.DataFrame({"clip": ["cam1/IMG_0.mp4"], "status": ["ok"], "reason": [""]})
    table = table.with_columns(pl.lit(i / 4).alias(c) for i, c in enumerate(CLASSES))
    write_submission(table, made, tmp_path / "out.csv", dict.fromkeys(predictions.get_classes(table), 0.0))
    lines = (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()
    assert lines == [head, "cam1/IMG_0.mp4,0.00000000,0.25000000,0.50000000"]


def test_classes_that_are_not_the_model_s(tmp_path):
    with pytest.raises(UsageError, match="no class 'zebra', 'lynx'"):
        template(tmp_path, "a.mp4", head="filename,zebra,lynx,blank").check_classes(CLASSES)
    with pytest.raises(UsageError, match="two columns are of the class 'leopard'"):
        template(tmp_path, "a.mp4", head="filename,Leopard,leopard,blank").check_classes(CLASSES)
