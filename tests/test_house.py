"""The rooms of `src/jungle`: who may import whom, as a table, and where each large library is touched."""

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "src" / "jungle"
GROUND = {
    *("backbone_names", "console", "devices", "errors", "extras", "files", "links", "names"),
    *("network", "parquet", "plain", "runs", "streams", "system", "wording"),
}
# A room, and the rooms that it may import besides the ground; a higher floor stands first.
ROOMS = {
    "api": "commands pipelines training prediction models data video config",
    "cli": "commands doctor bench pipelines training config",
    "commands": "pipelines training prediction features report export postprocessing ensemble models data"
    " video metrics config",
    "doctor": "training prediction features models data sample video metrics config",
    "bench": "training prediction features ensemble models data sample video metrics config",
    "pipelines": "training prediction features report models data sample video config",
    "training": "prediction features report postprocessing ensemble models data sample video metrics config",
    "prediction": "features models data video config",
    "report": "ensemble data metrics video",
    "export": "postprocessing data metrics",  # what counts as seen, and events
    "postprocessing": "data metrics",
    "ensemble": "models data metrics",
    "features": "models data video",
    "models": "data metrics video",
    "data": "video",
    "sample": "data video",
    "config": "",
    "video": "",
    "metrics": "",
}
OUTSIDE = {"__init__", "__main__"}
FLOORS = 10
FUNCTION_IMPORTS = 63  # a ceiling that only falls
LIBRARIES = {
    "av": "video",
    "decord": "video",
    "torchcodec": "video",
    "albumentations": "data/augment.py",
    "timm": "models",
    "wandb": "training/loggers",
    "sklearn": ("ensemble", "metrics"),
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


def room_of(name: str) -> str:
    return name.removeprefix("jungle.").split(".")[0]


def forbidden(room: str, text: str) -> list[str]:
    """Return what a file of a room imports of rooms that it may not."""
    allowed = {room, *GROUND, *ROOMS.get(room, "").split(), "__version__"}
    own = [m for m in imports_of(text) if m.startswith("jungle.")]
    return [m.removeprefix("jungle.") for m in own if room_of(m) not in allowed]


def test_every_module_has_a_room() -> None:
    found = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()}
    assert found == {*ROOMS, *GROUND, *OUTSIDE}


@pytest.mark.parametrize("room", [*ROOMS, *sorted(GROUND)])
def test_a_room_imports_what_the_table_lets_it(room: str) -> None:
    files = sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / f"{room}.py"]
    found = {str(f.relative_to(PACKAGE)): forbidden(room, f.read_text()) for f in files}
    assert {f: names for f, names in found.items() if names} == {}


def test_the_table_has_no_circle_and_few_floors() -> None:
    @cache
    def floor(room: str) -> int:
        return 1 + max((floor(below) for below in ROOMS[room].split()), default=0)

    assert max(map(floor, ROOMS)) <= FLOORS  # a circle would never end


def test_no_modules_import_each_other() -> None:
    """Not even within functions; but Lightning's classmethod that loads what the other module builds."""
    modules = {
        ".".join(f.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): f
        for f in PACKAGE.rglob("*.py")
        if f.parent != PACKAGE or f.stem not in OUTSIDE
    }

    def below(name: str) -> set[str]:
        tree = ast.parse(modules[name].read_text())
        tree.body = [
            n for n in tree.body if not (isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test))
        ]
        own = [m.removeprefix("jungle.") for m in imports_of(ast.unparse(tree)) if m.startswith("jungle.")]
        found = {m if m in modules else m.rpartition(".")[0] for m in own} & modules.keys() - {name}
        return found - ({"models.checkpoint"} if name == "models.module" else set())

    done: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name not in done:
            for other in sorted(below(name)):
                walk(other, (*way, name))
            done.add(name)

    for name in sorted(modules):
        walk(name, ())


def function_imports(text: str) -> int:
    functions = [
        n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return len({n for f in functions for n in ast.walk(f) if isinstance(n, ast.Import | ast.ImportFrom)})


def test_imports_stand_at_the_top() -> None:
    assert function_imports("import a\ndef f():\n    import b\n    from c import d\n") == 2
    assert sum(function_imports(f.read_text()) for f in PACKAGE.rglob("*.py")) <= FUNCTION_IMPORTS


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_touched_in_one_room(library: str) -> None:
    files = [f for f in PACKAGE.rglob("*.py") if library in f.read_text()]
    touching = [
        f.relative_to(PACKAGE).as_posix()
        for f in files
        if any(m.split(".")[0] == library for m in imports_of(f.read_text()))
    ]
    assert touching
    assert [f for f in touching if not f.startswith(LIBRARIES[library])] == []


def test_parquet_is_read_and_written_in_one_place() -> None:
    files = [f for f in PACKAGE.rglob("*.py") if f.name != "parquet.py" and "bench" not in f.parts]
    own = re.compile(r"pl\.(read|scan)_parquet|\.(write|sink)_parquet|write_csv\(part")
    assert [str(f.relative_to(PACKAGE)) for f in files if own.search(f.read_text())] == []


def test_a_step_up_would_be_seen() -> None:
    assert forbidden("video", "def f():\n    from jungle.data import clips\n") == ["data.clips"]
    assert forbidden("data", "import jungle.config\n") == ["config"]
    assert forbidden("models", "from jungle.config import check\n") == ["config.check"]
    assert not forbidden("report", "from jungle.video import ClipSpec\nfrom jungle.files import Lock\n")


def test_no_module_is_a_hall() -> None:
    lines = {str(f.relative_to(PACKAGE)): len(f.read_text().splitlines()) for f in PACKAGE.rglob("*.py")}
    assert {f: n for f, n in lines.items() if n > 400} == {}
