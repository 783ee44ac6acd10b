"""Where the rows are: open anything tabular, meet its rows as ordered batches, and account for every one.

`open` tells what the user handed over; `source` is the contract and the cast to doubles; `csv` and `memory` are the
kinds of source; `account` counts rows; `frames` hands results back as pandas.
"""

from squarely.data.account import RowAccount
from squarely.data.frames import frame, read_csv, series, square
from squarely.data.open import open_source
from squarely.data.source import Block, Source, complete_blocks, fold, require_columns

__all__ = [
    "Block",
    "RowAccount",
    "Source",
    "complete_blocks",
    "fold",
    "frame",
    "open_source",
    "read_csv",
    "require_columns",
    "series",
    "square",
]
