"""Pages from templates: other people's text is escaped, and nothing is fetched or run."""

from datetime import datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from jungle.files import write_text
from jungle.report.formatting import percent, plain, score, seconds
from jungle.report.shown_paths import Places
from jungle.wording import count

FOLDER = Path(__file__).parent


def write_page(path: Path, template: str, places: Places, **values: Any) -> None:
    """Write the page that `template` makes of `values`; every file in it is named as `places` does.

    Raises:
        OSError: the folder cannot be written.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: _shown(value, places),
    )
    environment.filters |= {"percent": percent, "score": score, "seconds": seconds, "count": count}
    now = datetime.now()
    page = environment.get_template(template).render(
        css=(FOLDER / "page.css").read_text(encoding="utf-8"),
        written=f"{now.day} {now:%B %Y, %H:%M}",
        **values,
    )
    # A file name may hold bytes that are no UTF-8; they must not cost the report.
    write_text(path, page.encode("utf-8", "replace").decode("utf-8"))


def _shown(value: Any, places: Places) -> Any:
    """A value as the template writes it: text loses what cannot be seen, and where its files lie.

    Escaping comes after.
    """
    return places.text(plain(value)) if isinstance(value, str) and not isinstance(value, Markup) else value
