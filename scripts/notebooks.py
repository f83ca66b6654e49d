"""Run the notebooks on the rendered sample and keep them with what they show: `make notebooks`.

Pictures are made small enough for a repository, what differs from run to run without a reader's profit is
taken out, and a hash of the cells is kept beside them, by which a test tells outputs that are out of date.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
WIDEST = 1100  # pixels of a picture
LIMIT = 1_500_000  # bytes of a notebook


def source_hash(notebook: Any) -> str:
    """Hash of all that a notebook's outputs were made by: the text of its code."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.blake2b("\0".join(code).encode(), digest_size=16).hexdigest()


def smaller(data: dict[str, Any], about: dict[str, Any]) -> None:
    """Replace the PNG of an output by a narrower one, or, where it shows photographs, by a JPEG."""
    picture = Image.open(io.BytesIO(base64.b64decode(data.pop("image/png")))).convert("RGB")
    if picture.width > WIDEST:
        height = round(picture.height * WIDEST / picture.width)
        picture = picture.resize((WIDEST, height), Image.Resampling.LANCZOS)
    chart, photograph = io.BytesIO(), io.BytesIO()
    picture.save(chart, "PNG", optimize=True)
    picture.save(photograph, "JPEG", quality=84, optimize=True)
    kind = "png" if chart.tell() < 2 * photograph.tell() else "jpeg"
    made = chart if kind == "png" else photograph
    data[f"image/{kind}"] = base64.b64encode(made.getvalue()).decode()
    shown = about.pop("image/png", None)
    if shown:
        about[f"image/{kind}"] = shown


def run(path: Path) -> int:
    """Execute a notebook in its folder and write it with its outputs; return its size in bytes."""
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(
        notebook, timeout=1800, kernel_name="python3", resources=where, record_timing=False
    )
    client.execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":  # warnings of libraries are of this machine
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                smaller(output.data, output.metadata)
    notebook.metadata = {
        "kernelspec": notebook.metadata.kernelspec,
        "language_info": {"name": "python"},
        "outputs_of": source_hash(notebook),
    }
    text = nbformat.writes(notebook).rstrip("\n") + "\n"
    words = re.sub(r'"image/\w+": "[^"]*"', "", text)
    places = re.findall(r"(?:/home/|/root/|/Users/|/tmp/|/var/|[A-Z]:\\\\)[^\s\"]*", words)
    if places := places + [str(FOLDER.parent)] * (str(FOLDER.parent) in words):
        sys.exit(f"error: {path.name}: a path of this machine would stand in it: {places[0]}")
    if len(text.encode()) > LIMIT:
        sys.exit(f"error: {path.name}: {len(text.encode())} bytes, more than {LIMIT}: show less in it")
    path.write_text(text, encoding="utf-8")
    return len(text.encode())


if __name__ == "__main__":
    asked = [Path(name) for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb"))
    for file in asked:
        print(f"running {file.name}", flush=True)
        print(f"{file.name}: {run(file) / 1000:.0f} kB")
