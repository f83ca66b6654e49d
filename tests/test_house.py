"""The rooms of `src/jungle`: imports go down only, and each large library is touched in one room."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "src" / "jungle"
FLOORS = ("report", "ensemble", "features", "models", "data", "metrics", "video")
GROUND = (
    *(
        "console",
        "cores",
        "errors",
        "files",
        "lean",
        "links",
        "memory",
        "names",
        "parquet",
        "plain",
        "streams",
        "wording",
    ),
)
BESIDE = {"config": ("models.names",)}  # may be asked by those above `models`, and asks this alone
LIBRARIES = {
    "av": "video",
    "decord": "video",
    "torchcodec": "video",
    "albumentations": "data/augment.py",
    "timm": "models",
    "wandb": "loggers",
    "sklearn": "ensemble",
    "lightgbm": "ensemble",
}


def imports_of(text: str) -> Iterator[str]:
    """Yield the dotted name of each module, or name in a package, that a file imports anywhere."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "import_module"
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value)


def upward(room: str, text: str) -> list[str]:
    """Return what a file of a room imports though it lies above the room."""
    below = (*FLOORS[FLOORS.index(room) :], *GROUND) if room in FLOORS else GROUND
    own = [m.removeprefix("jungle.") for m in imports_of(text) if m.startswith("jungle.")]
    if room in BESIDE:
        return [m for m in own if not m.startswith((*BESIDE[room], room, *GROUND))]
    beside = tuple(BESIDE) if room in FLOORS[: FLOORS.index("models")] else ()
    return [m for m in own if m.split(".")[0] not in (*below, *beside)]


@pytest.mark.parametrize("room", [*FLOORS, *BESIDE, *GROUND])
def test_imports_go_down_only(room: str) -> None:
    files = sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / f"{room}.py"]
    found = {str(f.relative_to(PACKAGE)): upward(room, f.read_text()) for f in files}
    assert {f: names for f, names in found.items() if names} == {}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_touched_in_one_room(library: str) -> None:
    touching = [
        f.relative_to(PACKAGE).as_posix()
        for f in PACKAGE.rglob("*.py")
        if any(m.split(".")[0] == library for m in imports_of(f.read_text()))
    ]
    assert touching
    assert [f for f in touching if not f.startswith(LIBRARIES[library])] == []


def test_parquet_is_read_and_written_in_one_place() -> None:
    files = [f for f in PACKAGE.rglob("*.py") if f.name != "parquet.py" and "bench" not in f.parts]
    own = re.compile(r"pl\.(read|scan)_parquet|\.(write|sink)_parquet|write_csv\(part")
    assert [str(f.relative_to(PACKAGE)) for f in files if own.search(f.read_text())] == []


def test_a_step_up_would_be_seen() -> None:
    assert upward("video", "def f():\n    from jungle.data import clips\n") == ["data.clips"]
    assert upward("data", "import jungle.config\n") == ["config"]
    assert upward("config", "from jungle.models import backbone\n") == ["models.backbone"]
    assert not upward("report", "from jungle.video import ClipSpec\nfrom jungle.config import check\n")


def test_no_module_is_a_hall() -> None:
    lines = {str(f.relative_to(PACKAGE)): len(f.read_text().splitlines()) for f in PACKAGE.rglob("*.py")}
    assert {f: n for f, n in lines.items() if n > 400} == {}


def test_the_first_line_of_an_error_is_cut_in_one_place() -> None:
    own = re.compile(r"""str\(e\w*\)(\.strip\(\))?\.(splitlines\(\)|split\(["']\\n["']\))\[0\]""")
    files = [f for f in PACKAGE.rglob("*.py") if f.name != "errors.py"]
    assert [str(f.relative_to(PACKAGE)) for f in files if own.search(f.read_text())] == []
