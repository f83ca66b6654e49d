"""`jungle ensemble check`: what leaks between the splits of trained models, and whether they fit together."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from jungle.config import EnsembleCheckConfig, parse_config
from jungle.console import log, print_result
from jungle.data.duplicates import lookup_contents
from jungle.data.spreadsheets import write_csv
from jungle.ensemble.leakage import TOO_GOOD, find_leaks
from jungle.ensemble.members import Member, load_members
from jungle.errors import UserError
from jungle.wording import tally


def main(raw: object) -> None:
    """Say what leaks and what does not fit, and write it to a table where one is asked for.

    Raises:
        UserError: something does.
    """
    cfg = parse_config(EnsembleCheckConfig, raw)

    members = load_members(cfg.members)
    contents = None if cfg.index is None else _contents(cfg.index, members)
    found = find_leaks(members, contents)
    for x in found:
        log.warning(f"{x.member}: {x.what} ({tally(x.clips, 'clips')}, as {x.example})")
    if cfg.out is not None:
        table = pl.DataFrame(
            [(x.member, x.what, x.clips, x.example) for x in found],
            schema={"member": pl.String, "what": pl.String, "clips": pl.Int64, "example": pl.String},
            orient="row",
        )
        write_csv(table, cfg.out)
        print_result(f"leaks: {cfg.out}")
    if found:
        leaks = sum(x.means == TOO_GOOD for x in found)
        said = [f"{tally(leaks, 'leaks')} in {tally(len(members), 'members')}: {TOO_GOOD}"] if leaks else []
        said += dict.fromkeys(x.means for x in found if x.means != TOO_GOOD)
        raise UserError("; ".join(said))
    runs = sum(len(m.runs) for m in members)
    copies = "; copies were not looked for (index=)" if contents is None else ""
    print_result(f"nothing leaks: {tally(len(members), 'members')}, {tally(runs, 'runs')}{copies}")


def _contents(index: Path, members: Sequence[Member]) -> pl.DataFrame:
    clips = members[0].clips
    return pl.DataFrame({"clip": clips.table["clip"], "hash": lookup_contents(clips, index, "index")})
