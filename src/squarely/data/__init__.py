"""Where the rows are: open anything tabular, meet its rows as ordered batches, and account for every one.

`open` tells what the user handed over; `source` is the contract and the cast to doubles and categories, `aggregates` what an engine
is asked to sum by itself; the kinds of source are `memory`, `arrow`, `csv` (whose `dialect` is guessed), `jsonlines`, `parquet`,
`ipc`, `lazyframe`, `relation` and, for a loaded fit, `absent`; `file` says whether a file is still the same, `reread` how pandas
reads it; `account` counts rows; `frames` hands results back as pandas, `write` as files, and `disk` keeps small texts.
"""

from squarely.data.absent import AbsentSource
from squarely.data.account import CAUSES, RowAccount
from squarely.data.aggregates import Engine, Held, Query, Row, Stage
from squarely.data.arrays import open_arrays, open_rows
from squarely.data.disk import local_path, read_text, write_text
from squarely.data.frames import frame, read_csv, series, square
from squarely.data.open import open_source
from squarely.data.reread import Reread, reread, reread_csv
from squarely.data.source import (
    EXACT_INTEGERS,
    Batch,
    Kind,
    Labels,
    Level,
    Numbers,
    Source,
    batches,
    fold,
    not_usable,
    reads_as_number,
    require_columns,
)
from squarely.data.write import write_columns

__all__ = [
    "CAUSES",
    "EXACT_INTEGERS",
    "AbsentSource",
    "Batch",
    "Engine",
    "Held",
    "Kind",
    "Labels",
    "Level",
    "Numbers",
    "Query",
    "Reread",
    "Row",
    "RowAccount",
    "Source",
    "Stage",
    "batches",
    "fold",
    "frame",
    "local_path",
    "not_usable",
    "open_arrays",
    "open_rows",
    "open_source",
    "read_csv",
    "read_text",
    "reads_as_number",
    "require_columns",
    "reread",
    "reread_csv",
    "series",
    "square",
    "write_columns",
    "write_text",
]
