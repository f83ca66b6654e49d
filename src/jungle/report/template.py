"""Rendering of page templates; text from elsewhere is escaped, and a page fetches and runs nothing."""

from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from jungle.files import write_text
from jungle.report.formatting import format_percent, format_score, format_seconds, remove_hidden
from jungle.report.path_display import PathDisplay
from jungle.wording import count

FOLDER = Path(__file__).parent


def write_page(path: Path, template: str, paths: PathDisplay, **values: object) -> None:
    """Write a page from a template and its values; file paths are displayed as `paths` says.

    Raises:
        OSError: the folder cannot be written.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: _clean(value, paths),
    )
    environment.filters |= {
        "percent": format_percent,
        "score": format_score,
        "seconds": format_seconds,
        "count": count,
    }
    now = datetime.now()
    page = environment.get_template(template).render(
        css=(FOLDER / "page.css").read_text(encoding="utf-8"),
        written=f"{now.day} {now:%B %Y, %H:%M}",
        **values,
    )
    # File names may hold bytes that are not UTF-8
    write_text(path, page.encode("utf-8", "replace").decode("utf-8"))


def _clean(value: object, paths: PathDisplay) -> object:
    """Return text without invisible characters and with short paths; escaping follows."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return paths.shorten_all(remove_hidden(value))
    return value
