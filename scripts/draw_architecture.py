"""Write the drawing and the table of `docs/architecture.md` from the code."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "jungle"
PAGE = ROOT / "docs" / "architecture.md"


@cache
def rooms() -> dict[str, str]:
    """Return each room with the first sentence that its `__init__.py` says of it."""
    found = {}
    for file in sorted(PACKAGE.glob("*/__init__.py")):
        text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        found[file.parent.name] = text.split("\n\n")[0].split("\n")[0]
    return found


@cache
def arrows() -> dict[str, set[str]]:
    """Return which rooms each room imports, those left out that another of them imports too."""
    names = set(rooms())
    direct: dict[str, set[str]] = {name: set() for name in names}
    for name in names:
        for file in (PACKAGE / name).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jungle"):
                    first = f"{node.module}.{node.names[0].name}".split(".")[1]
                    direct[name] |= {first} & names - {name}

    def below(name: str) -> set[str]:
        return direct[name].union(*map(below, direct[name]))

    return {name: to - set().union(*map(below, to)) for name, to in direct.items()}


def floors() -> list[list[str]]:
    """Return the rooms from the highest floor to the lowest: a room stands above all that it imports."""
    below = arrows()

    def floor(name: str) -> int:
        return 1 + max(map(floor, below[name]), default=0)

    heights = {name: floor(name) for name in below}
    return [sorted(n for n in heights if heights[n] == h) for h in range(max(heights.values()), 0, -1)]


def drawing() -> str:
    """Return the rooms and their imports as a Mermaid drawing."""
    below = arrows()
    lines = [f"    {name} --> {other}" for row in floors() for name in row for other in sorted(below[name])]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])


def table() -> str:
    """Return the rooms as a table of Markdown."""
    said = rooms()
    rows = [f"| `{name}/` | {said[name]} |" for row in floors() for name in row]
    return "\n".join(["| room | what it is |", "| --- | --- |", *rows])


def drawn(page: str) -> str:
    """Return the page with its drawing and its table made again."""
    for name, made in (("drawing", drawing()), ("table", table())):
        before, _, rest = page.partition(f"<!-- {name} -->\n")
        page = f"{before}<!-- {name} -->\n{made}\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
