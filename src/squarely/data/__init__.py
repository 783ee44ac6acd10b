"""Where the rows are: open anything tabular, meet its rows as ordered batches, and account for every one.

`open` tells what the user handed over; `source` is the contract and the cast to doubles (`decimals` has its own) and categories;
the kinds of source are `memory`, `arrow`, `csv` (whose `dialect` is guessed), `jsonlines`, `parquet`, `ipc`, `lazyframe`,
`relation` and, for a loaded fit, `absent`; `paths` finds several files and `joined` puts them behind each other. `file` says
whether a file is still the same, `ahead` decodes it in a thread of its own, `interrupt` lets Ctrl-C through, `reread` tells how
pandas reads it. `account` counts rows; `frames` hands results back as pandas, `write` as files, and `disk` keeps small texts.
"""

from squarely.data.absent import AbsentSource
from squarely.data.account import RowAccount
from squarely.data.arrays import open_arrays, open_rows
from squarely.data.disk import local_path, read_text, write_text
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
from squarely.data.write import write_columns

__all__ = [
    "AbsentSource",
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
