import numpy as np
import pytest

from jungle.errors import UserError
from tests.data.loading import load_primatrix, load_primatrix_micro

LABELS = "filename,bird,blank,lion\na.mp4,0,1,0\nb.mp4,1,0,1\n"
FORMAT = "filename,bird,blank,lion\nz.mp4,0.5,0.5,0.5\ny.mp4,0.5,0.5,0.5\n"


@pytest.fixture
def data(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "train_labels.csv").write_text(LABELS)
    (tmp_path / "submission_format.csv").write_text(FORMAT)
    return tmp_path


def test_template_rows_are_unlabelled_test_clips_in_their_order(data):
    clips = load_primatrix(data / "raw")
    assert clips.classes == ("bird", "blank", "lion")
    assert clips.table.select("clip", "split").rows() == [
        ("a.mp4", None),
        ("b.mp4", None),
        ("z.mp4", "test"),
        ("y.mp4", "test"),
    ]
    assert clips.table["path"][2] == f"{data}/raw/z.mp4"
    assert np.isnan(clips.targets()[2:]).all()
    assert clips.targets()[:2].tolist() == [[0, 1, 0], [1, 0, 1]]


def test_the_names_of_the_third_place(data):
    (data / "train_labels.csv").rename(data / "train.csv")
    (data / "submission_format.csv").rename(data / "submission.csv")
    assert len(load_primatrix(data / "raw")) == 4


def test_known_test_labels_are_matched_by_clip(data):
    (data / "test_labels.csv").write_text("filename,lion,bird,blank\ny.mp4,1,0,0\nz.mp4,0,0,1\n")
    assert load_primatrix(data / "raw").targets()[2:].tolist() == [[0, 1, 0], [0, 0, 1]]


def test_sites_beside_the_labels_are_used(data):
    (data / "sites.csv").write_text(
        "filename,site,split,time,night\na.mp4,s1,train,5,0\nb.mp4,s2,val,6,1\ny.mp4,s3,test,7,1\nz.mp4,s4,test,8,0\n"
    )
    clips = load_primatrix(data / "raw")
    assert clips.table["site"].to_list() == ["s1", "s2", "s4", "s3"]
    assert clips.table["split"].to_list() == ["train", "val", "test", "test"]
    assert clips.classes == ("bird", "blank", "lion")


def test_without_a_template_there_is_no_test(data, caplog):
    (data / "submission_format.csv").unlink()
    assert len(load_primatrix(data / "raw")) == 2
    assert "no test clips" in caplog.text


def test_the_micro_archive_brings_its_own_folder(data):
    (data / "micro" / "micro").mkdir(parents=True)
    assert load_primatrix_micro(data / "micro").table["path"][0] == f"{data}/micro/micro/a.mp4"
    (data / "micro" / "micro").rmdir()
    assert load_primatrix_micro(data / "micro").table["path"][0] == f"{data}/micro/a.mp4"


def test_what_is_missing_or_does_not_fit(data):
    with pytest.raises(UserError, match="no such folder"):
        load_primatrix(data / "none")
    (data / "submission_format.csv").write_text("filename,bird,blank\na.mp4,.5,.5\n../x.mp4,.5,.5\n")
    with pytest.raises(UserError) as error:
        load_primatrix(data / "raw")
    for part in ("has no column in", ": lion.", "is also in the labels: a.mp4", "leads out of the root"):
        assert part in str(error.value)
    (data / "train_labels.csv").unlink()
    with pytest.raises(UserError, match=r"no train_labels\.csv or train\.csv"):
        load_primatrix(data / "raw")
