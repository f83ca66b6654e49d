"""The notebooks run from the first cell to the last, and are kept with what they show of the sample."""

import base64
import csv
import hashlib
import io
import os
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

from jungle.video.transcode.writer import write_clip

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"


def run(name, folder, **settings):
    """Execute a notebook with other values in its first code cell; return it with its outputs."""
    notebook = nbformat.read(FOLDER / name, as_version=4)
    cell = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    for key, value in settings.items():
        line = f"{key} = {value!r}".replace("\\", r"\\")
        cell.source, n = re.subn(rf"(?m)^{key} = .*?(?=\s+#|$)", line, cell.source)
        assert n == 1, f"{name} has no setting named {key}"
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    return notebook


def printed(notebook):
    return "".join(o.text for c in notebook.cells for o in c.get("outputs", []) if o.output_type == "stream")


def shown(notebook):
    outputs = [o for c in notebook.cells for o in c.get("outputs", [])]
    return "\n".join(o.data.get("text/plain", "") for o in outputs if o.output_type == "execute_result")


def pictures(notebook):
    outputs = [o for c in notebook.cells for o in c.get("outputs", [])]
    return [o for o in outputs if "image/png" in o.get("data", {})]


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("MPLBACKEND", raising=False)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda p: p.name)
def test_notebooks_are_kept_with_the_outputs_of_their_cells(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    told = hashlib.blake2b("\0".join(cell.source for cell in code).encode(), digest_size=16).hexdigest()
    assert notebook.metadata["outputs_of"] == told, "a cell was changed since: make notebooks"
    outputs = [o for cell in code for o in cell.outputs]
    assert {o.output_type for o in outputs} <= {"stream", "display_data", "execute_result"}
    assert all(o.get("name") != "stderr" for o in outputs)
    assert any(kind.startswith("image/") for o in outputs for kind in o.get("data", {}))
    assert all(not cell.outputs for cell in code if "parameters" in cell.metadata.get("tags", []))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda p: p.name)
def test_what_is_kept_is_small_and_names_no_place_of_a_machine(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < 1_500_000
    words = re.sub(r'"image/\w+": "[^"]*"', "", text)
    assert not re.findall(r"/home/|/root/|/Users/|/tmp/|/var/|site-packages|[A-Z]:\\\\", words)
    assert '"execution":' not in words  # times of day


def test_a_picture_is_made_smaller_as_it_is_best_shown():
    import importlib.util

    spec = importlib.util.spec_from_file_location("notebooks", FOLDER.parent / "scripts" / "notebooks.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    noise = np.random.default_rng(0).integers(0, 255, (300, 2200, 3), np.uint8)
    chart = np.full((300, 2200, 3), 250, np.uint8)
    chart[100:200, 300:900] = (47, 111, 74)
    for pixels, kind in ((noise, "jpeg"), (chart, "png")):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        data, about = {"image/png": base64.b64encode(file.getvalue()).decode()}, {"image/png": {"width": 1}}
        made.smaller(data, about)
        assert list(data) == [f"image/{kind}"]
        assert about == {f"image/{kind}": {"width": 1}}
        shown = Image.open(io.BytesIO(base64.b64decode(data[f"image/{kind}"])))
        assert shown.size == (1100, 150)
    assert shown.convert("RGB").getpixel((300, 75)) == (47, 111, 74)  # colours of a chart stay what they are


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Where the sample of the notebooks is rendered, by whichever runs first."""
    return str(tmp_path_factory.mktemp("cache"))


@pytest.mark.slow
def test_exploration_of_the_sample(tmp_path, cache):
    done = run("exploration.ipynb", tmp_path, cache=cache, sample_clips=16, sample_sites=4)
    assert "16 clips" in printed(done)
    assert "16 clips read, 0 failed" in printed(done)
    assert len(pictures(done)) == 6


def test_exploration_of_ones_own_clips(tmp_path):
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["filepath", "label"])
        for i in range(9):
            name = f"clip {i}.avi"
            if i < 8:
                frames = [np.full((48, 64, 3), (40 + 10 * t, 90, 60 + 8 * i), np.uint8) for t in range(6)]
                write_clip(tmp_path / name, frames, fps=3, codec="mjpeg", pix_fmt="yuvj420p")
            else:
                (tmp_path / name).write_text("no video")
            table.writerow([name, ("fox", "blank", "hare")[i % 3]])
    done = run("exploration.ipynb", tmp_path, root=str(tmp_path), labels=str(tmp_path / "labels.csv"))
    assert "8 clips read, 1 failed" in printed(done)
    assert "clip 8.avi" in printed(done)
    assert "name no sites" in printed(done)
    assert len(pictures(done)) == 5
    assert not os.path.exists(tmp_path / "sample")


@pytest.mark.slow
def test_video_loading_of_the_sample(tmp_path, cache):
    small = {"sample_clips": 16, "sample_sites": 4, "clips_shown": 1, "bench_clips": 0}
    done = run("video_loading.ipynb", tmp_path, cache=cache, out=str(tmp_path / "out"), **small)
    assert len(pictures(done)) == 2
    assert "bench_clips is 0" in printed(done)
    assert not (tmp_path / "out").exists()


def test_video_loading_of_ones_own_clips(tmp_path):
    path = tmp_path / "a clip.mp4"
    frames = (np.full((48, 64, 3), (40 + 2 * t, 90, 60), np.uint8) for t in range(60))
    write_clip(path, frames, fps=20, options={"g": "20", "x264-params": "scenecut=0"})
    done = run(
        "video_loading.ipynb", tmp_path, files=[str(path)], out=str(tmp_path / "out"), count=5, repeats=1
    )
    assert len(pictures(done)) == 3
    assert (tmp_path / "out" / "decode.json").exists()
    rows = [line.split() for line in printed(done).splitlines() if line.startswith("  pyav")]
    assert {(row[1], int(row[2])) for row in rows if row[1] != "whole"} == {
        ("uniform", 16),
        ("keyframe", 3),
        ("motion", 16),
    }
    assert not (tmp_path / "sample").exists()


def test_extractors_of_ones_own_clip(tmp_path):
    path = tmp_path / "a clip.mp4"
    rng = np.random.default_rng(0)
    frames = (rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(6))
    write_clip(path, frames, fps=3)
    settings = {"file": str(path), "size": (64, 96), "cache": str(tmp_path)}
    done = run("extractors.ipynb", tmp_path, **settings)
    assert len(pictures(done)) == 1
    assert "3 frames, 16 + 24 + 40 + 112 + 320 = 512 numbers each" in printed(done)
    assert "torch.Size([3, 512])" in shown(done)
    table = shown(done)
    for preset, numbers in (("resnet152", 3840), ("inception_v4", 2944), ("nasnet", 8064)):
        assert re.search(rf"{preset}.*{numbers}", table), preset
    assert "inception_resnet_v2" in table
    assert "3488" in table
    assert not (tmp_path / "sample").exists()
