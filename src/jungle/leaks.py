"""`jungle ensemble check`: what leaks between training, validation and test of trained models."""

from pathlib import Path
from typing import Any

import polars as pl

from jungle.config import EnsembleCheckConfig, typed
from jungle.console import log, result
from jungle.errors import UserError
from jungle.files import write_text


def main(raw: Any) -> None:
    """Say what leaks, and write it to a table where one is asked for.

    Raises:
        UserError: something leaks.
    """
    cfg = typed(EnsembleCheckConfig, raw)
    from jungle.ensemble.check import leaks_of
    from jungle.ensemble.members import load_members

    members = load_members(cfg.members)
    contents = None if cfg.index is None else _contents(cfg.index, members)
    found = leaks_of(members, contents)
    for leak in found:
        log.warning(f"{leak.member}: {leak.what} ({leak.clips} clips, as {leak.example})")
    if cfg.out is not None:
        table = pl.DataFrame(
            [(x.member, x.what, x.clips, x.example) for x in found],
            schema={"member": pl.String, "what": pl.String, "clips": pl.Int64, "example": pl.String},
            orient="row",
        )
        write_text(cfg.out, table.write_csv())
        result(f"leaks: {cfg.out}")
    if found:
        raise UserError(f"{len(found)} leaks in {len(members)} members: what they score is too good")
    copies = "; copies were not looked for (index=)" if contents is None else ""
    result(f"nothing leaks: {len(members)} members, {sum(len(m.runs) for m in members)} runs{copies}")


def _contents(index: Path, members: Any) -> pl.DataFrame:
    from jungle.data.duplicates import contents_of

    clips = members[0].clips
    return pl.DataFrame({"clip": clips.table["clip"], "hash": contents_of(clips, index, "index")})
