"""What a table says of clips besides their labels: split, site, time and weight."""

from collections.abc import Mapping

import polars as pl

from jungle.data.formats.columns import read_sites, read_weights, split_values
from jungle.data.formats.times import read_time_column
from jungle.data.table_io import Table
from jungle.data.validation_report import Problems


def read_meta(table: Table, roles: Mapping[str, str], problems: Problems) -> list[pl.Series]:
    """The columns split, site, time and weight, those that the table has."""
    columns = []
    if "split" in roles:
        columns.append(split_values(table, roles["split"], problems))
    if "site" in roles:
        columns.append(read_sites(table, roles["site"], problems))
    if "time" in roles:
        columns.append(read_time_column(table, roles["time"]))
    if "weight" in roles:
        columns.append(read_weights(table, roles["weight"], problems))
    return columns
