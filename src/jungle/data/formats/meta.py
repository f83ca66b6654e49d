"""What a table says of clips besides their labels: split, site, time and weight."""

from collections.abc import Mapping

import polars as pl

from jungle.data.formats.columns import site_values, split_values, weight_values
from jungle.data.formats.times import time_values
from jungle.data.table_io import Table
from jungle.data.validation_report import Problems


def meta_values(table: Table, roles: Mapping[str, str], problems: Problems) -> list[pl.Series]:
    """The columns split, site, time and weight, those that the table has."""
    columns = []
    if "split" in roles:
        columns.append(split_values(table, roles["split"], problems))
    if "site" in roles:
        columns.append(site_values(table, roles["site"], problems))
    if "time" in roles:
        columns.append(time_values(table, roles["time"]))
    if "weight" in roles:
        columns.append(weight_values(table, roles["weight"], problems))
    return columns
