import re
from html.parser import HTMLParser

import polars as pl
import pytest

from jungle.data.predictions import clear_failed
from jungle.report import charts, write_report
from jungle.report.formatting import format_percent, format_score, remove_hidden
from tests.report.report_cases import CLASSES, said

VOID = {"meta", "img", "line", "circle", "path", "br", "link"}


class Page(HTMLParser):
    """The tags and the text of a page; complains where tags do not match."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text, self.addresses = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "action", "data")]
        assert not [k for k, _ in attrs if k.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def trained(tmp_path_factory, table, clips):
    history = [{"epoch": e, "train/loss": 2.0 / (e + 1), "val/log_loss": 0.5 / (e + 1)} for e in range(4)]
    path = write_report(
        tmp_path_factory.mktemp("run"),
        title="A title",
        predictions={"test": table},
        classes=CLASSES,
        task="exclusive",
        clips=clips,
        history=history,
        failures=[("lost.mp4", "0 bytes"), ("gone.mp4", "0 bytes")],
        config_summary={
            "model": {"backbone": "lite0", "taps": [], "size": [180, 320]},
            "name": None,
            "seed": 3,
        },
    )
    return path.read_text(encoding="utf-8")


def test_a_training_run_shows_what_it_must(trained):
    words = Page(trained).words
    for expected in (
        "On 6 test clips the most probable class is right for 4",
        "wild boar mistaken for blank 1 of 2",
        "Unreadable clips 2 clips",
        "2 0 bytes",
        "model.backbone lite0",
        "model.size 180, 320",
        "expected calibration error",
        "Validation log loss",
        "ridge",
    ):
        assert expected in words, expected
    assert words.index("c4.avi") < words.index("c1.avi") < words.index("c0.avi")
    assert "model.taps" not in words


def test_the_page_is_one_file_that_runs_and_fetches_nothing(trained):
    page = Page(trained)
    assert "script" not in page.tags
    assert page.tags.count("img") == 6 * 6
    assert all(a.startswith("data:image/jpeg;base64,") for a in page.addresses)
    assert not re.search(r"url\(|@import|https?:", re.sub(r"data:image/jpeg;base64,[\w+/=]+", "", trained))
    assert "default-src 'none'" in trained


def test_names_from_elsewhere_are_text_and_nothing_else(tmp_path, videos):
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
    classes = (evil, "</style><b>", "{{ 7 * 7 }}")
    names = ["</title><script>x</script>.avi", "a\u202eiva.b\n.avi"]
    table = said([[0.9, 0.1, 0.2], [0.3, 0.8, 0.2]], classes=classes, names=names)
    clips = pl.DataFrame(
        {
            "clip": names,
            "path": [str(videos / "c0.avi")] * 2,
            "site": [evil] * 2,
            "split": ["test"] * 2,
            classes[0]: [1, 0],
            classes[1]: [0, 1],
            classes[2]: [0, None],
        }
    )
    for truth in (clips, None):
        path = write_report(
            tmp_path,
            title=evil,
            predictions={"test": table},
            classes=classes,
            task="multilabel",
            clips=truth,
            failures=[(evil, evil), ("bytes \udcff.avi", "no UTF-8")],
            config_summary={evil: {evil: evil}},
        )
        text = path.read_text(encoding="utf-8")
        page = Page(text)
        assert "script" not in page.tags
        assert page.tags.count("img") == (12 if truth is not None else 0)
        assert evil in page.words
        assert "{{ 7 * 7 }}" in page.words
        assert "\u202e" not in text


def test_a_prediction_run_shows_what_was_found(tmp_path, videos):
    probs = [[0.9, 0.1, 0.1], [0.8, 0.6, 0.7], [0.1, 0.2, 0.3], [0.4, 0.3, 0.3]]
    names = [f"c{i}.avi" for i in range(4)]
    path = write_report(
        tmp_path,
        title="Predictions",
        predictions={"all": said(probs, ["ok", "degraded", "ok", "failed"])},
        classes=CLASSES,
        task="multilabel",
        clips=pl.DataFrame({"clip": names, "path": [str(videos / name) for name in names]}),
        failures=[("c3.avi", "reason 3")],
    )
    page = Page(path.read_text(encoding="utf-8"))
    assert "3 of 4 clips were read. 2 of them are called blank." in page.words
    assert "nothing reaches 0.5 1" in page.words
    assert "Read in part: reason 1" in page.words
    assert "c3.avi reason 3" in page.words
    assert page.tags.count("img") == 3 * 6


def test_a_name_that_leads_out_of_the_root_is_not_read(tmp_path, videos):
    (tmp_path / "inside").mkdir()
    names = [f"../{videos.name}/c0.avi", str(videos / "c0.avi")]
    path = write_report(
        tmp_path,
        title="x",
        predictions={"all": said([[0.9, 0.1, 0.1]] * 2, names=names)},
        classes=CLASSES,
        task="exclusive",
    )
    page = Page(path.read_text(encoding="utf-8"))
    assert "img" not in page.tags
    assert "its file is unknown" in page.words


@pytest.mark.parametrize("statuses", [[], ["failed"], ["failed", "failed"]])
def test_a_run_in_which_nothing_could_be_read_has_a_report(tmp_path, statuses):
    table = said([[0.3, 0.3, 0.4]] * len(statuses), statuses)
    for predictions in ({"all": table}, {}):
        path = write_report(tmp_path, title="x", predictions=predictions, classes=CLASSES, task="multilabel")
        Page(path.read_text(encoding="utf-8"))


@pytest.mark.usefixtures("undrawn_charts")
def test_a_decoder_that_is_not_installed_costs_the_pictures_only(tmp_path, table, clips, monkeypatch):
    from jungle.errors import UserError
    from jungle.report import strips

    def refuse(*_, **__):
        raise UserError("the decoder is not installed")

    monkeypatch.setattr(strips, "draw_strips", refuse)
    path = write_report(
        tmp_path, title="x", predictions={"test": table}, classes=CLASSES, task="exclusive", clips=clips
    )
    assert "No pictures: the decoder is not installed" in Page(path.read_text(encoding="utf-8")).words


@pytest.mark.usefixtures("undrawn_charts")
def test_clips_that_could_not_be_read_stand_apart(tmp_path, table, clips):
    failed = pl.when(pl.col("clip") == "c4.avi").then(pl.lit("failed")).otherwise("status").alias("status")
    path = write_report(
        tmp_path,
        title="x",
        predictions={"test": clear_failed(table.with_columns(failed), CLASSES)},
        classes=CLASSES,
        task="exclusive",
        clips=clips,
    )
    words = Page(path.read_text(encoding="utf-8")).words
    assert "On 5 test clips" in words
    assert "1 test clip could not be read and is in no score." in words
    assert "c4.avi" not in words


def test_many_failures_and_classes_stay_readable(tmp_path):
    classes = tuple(f"class {i}" for i in range(45))
    row = [0.9] + [0.1] * 44
    table = said([row, row[::-1]], classes=classes)
    clips = pl.DataFrame(
        {
            "clip": ["c0.avi", "c1.avi"],
            "path": ["x"] * 2,
            "split": ["test"] * 2,
            **{c: [1, 0] for c in classes},
        }
    ).with_columns(pl.lit(1).alias("class 3"))
    path = write_report(
        tmp_path,
        title="x",
        predictions={"test": table},
        classes=classes,
        task="exclusive",
        clips=clips,
        failures=[(f"f{i}.mp4", "0 bytes") for i in range(1234)],
    )
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert 'class="matrix"' not in text
    assert "class 3 mistaken for class 44 1 of 2" in page.words
    assert "And 1034 more in failures.csv" in page.words


def test_curves_leave_out_what_is_no_number():
    history = [
        {"epoch": 0, "val/log_loss": 0.4, "train/loss": float("nan")},
        {"epoch": 1, "val/log_loss": 0.2},
    ]
    (chart,) = charts.make_learning_curves([*history, {"epoch": 2, "val/log_loss": 0.3, "val/map": None}])
    assert (chart.title, chart.series) == ("Validation log loss", ("log loss",))
    best, lines = chart.spec["layer"]
    assert [row["y"] for row in lines["data"]["values"]] == [0.4, 0.2, 0.3]
    assert best["data"]["values"] == [{"x": 1}]
    assert charts.make_learning_curves([]) == []
    assert len(charts.make_learning_curves([{"epoch": 0, "train/loss": 1.0}])) == 1


@pytest.mark.parametrize("values", [(0.0, 1.0), (0.013, 0.017), (3.0, 3.0), (0.0,), (-2.0, 1e6)])
def test_a_chart_of_any_range_is_drawn_and_says_its_numbers(values):
    history = [{"epoch": i, "train/loss": value} for i, value in enumerate(values)]
    (chart,) = charts.make_learning_curves(history)
    svg = charts.draw({"x": chart})["x"].svg
    assert "NaN" not in svg
    assert "undefined" not in svg
    for i, value in enumerate(values):
        assert f"<title>training, epoch {i}: {value:.4g}</title>" in svg
    assert "var(--leaf)" in svg  # a colour of the page, light or dark


def test_names_in_a_chart_are_text(tmp_path):
    evil = '</svg><script>alert(1)</script>"><img src=x onerror=alert(1)>${datum.x}'
    chart = charts.Chart(
        evil, charts._make_line_spec(evil, {evil: [(0.0, 1.0), (1.0, 2.0)]}, 1.0), (evil, "b")
    )
    assert set(Page(str(charts.draw({"x": chart})["x"].svg)).tags) <= {
        "svg",
        "g",
        "path",
        "line",
        "text",
        "title",
    }
    assert evil in Page(str(charts.draw({"x": chart})["x"].svg)).words


@pytest.mark.parametrize("program", ["import os; os.abort()", "import no_such_module", "print('no JSON')"])
def test_charts_that_cannot_be_drawn_do_not_cost_the_report(program, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(charts, "DRAW", program)
    history = [{"epoch": 0, "train/loss": 1.0}]
    path = write_report(
        tmp_path, title="x", predictions={}, classes=CLASSES, task="exclusive", history=history
    )
    assert "This chart could not be drawn" in Page(path.read_text(encoding="utf-8")).words
    assert "the report has no charts: " in caplog.text


def test_numbers_are_written_as_people_read_them():
    assert format_percent(0.943) == "94\N{NARROW NO-BREAK SPACE}%"
    assert format_percent(0.999) == "99.9\N{NARROW NO-BREAK SPACE}%"
    assert format_percent(1.0) == "100\N{NARROW NO-BREAK SPACE}%"
    assert format_percent(1e-6) == "<0.1\N{NARROW NO-BREAK SPACE}%"
    assert format_score(float("nan")) == format_score(None) == "–"
    assert remove_hidden("a\x00b\u202e") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"


@pytest.mark.usefixtures("undrawn_charts")
def test_a_model_of_one_class_is_compared_with_its_complement(tmp_path, table, clips):
    """Of six test clips one of the class is missed (c1), and one of another is taken for it (c4)."""
    only = CLASSES[0]
    others = list(CLASSES[1:])
    path = write_report(
        tmp_path,
        title="One class",
        predictions={"test": table.drop(others)},
        classes=[only],
        task="multilabel",
        clips=clips.drop(others),
    )
    words = Page(path.read_text(encoding="utf-8")).words
    assert f"not {only}" in words
    assert "4 of 6" in words  # c1 and c4 are wrong
    assert "No clip was mistaken" not in words


@pytest.mark.usefixtures("undrawn_charts")
def test_clips_that_cannot_be_read_are_in_no_count(tmp_path, table, clips):
    path = write_report(
        tmp_path,
        title="Counts",
        predictions={"test": table},
        classes=CLASSES,
        task="exclusive",
        clips=clips,
        failures=[("t0.avi", "0 bytes")],
    )
    assert "3 training" in Page(path.read_text(encoding="utf-8")).words
