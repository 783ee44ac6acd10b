"""Where the rows are: open anything tabular, meet its rows as ordered batches, and account for every one.

`open` tells what the user handed over; `source` is the contract and the cast to doubles and categories; `csv` and `memory` are the
kinds of source; `reread` says how pandas reads the same file; `account` counts rows; `frames` hands results back as pandas.
"""

from squarely.data.account import RowAccount
from squarely.data.arrays import open_arrays
from squarely.data.frames import frame, read_csv, series, square
from squarely.data.open import open_source
from squarely.data.reread import Reread, reread, reread_csv
from squarely.data.source import (
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

__all__ = [
    "Batch",
    "Kind",
    "Labels",
    "Level",
    "Numbers",
    "Reread",
    "RowAccount",
    "Source",
    "batches",
    "fold",
    "frame",
    "not_usable",
    "open_arrays",
    "open_source",
    "read_csv",
    "reads_as_number",
    "require_columns",
    "reread",
    "reread_csv",
    "series",
    "square",
]
