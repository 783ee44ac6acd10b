"""Where the rows are: open anything tabular, meet its rows as ordered batches, and account for every one.

`open` tells what the user handed over; `source` is the contract, and the parts of a source that can be read by themselves;
`batch` is its rows as doubles (`decimals` apart) and categories, `aggregates` what an engine is asked to sum by itself; the kinds
of source are `memory`, `arrow`, `csv` (with a guess of its `dialect`), `jsonlines`, `parquet`, `ipc`, `lazyframe`, `relation`,
`ibis`, `spark` (what goes to its processes is in `executors`), `dask` (with its `scheduler`) and, for a loaded fit, `absent`;
what comes back from other processes is in `scattered`, and `bundle` is what they are sent. `paths` finds several files, `lakes`
refuses tables of which only a log tells what counts, `partitions` makes columns of folders, `joined` puts files behind each other;
`file` says whether a file is still the same, `gunzip` and `uneven` check what DuckDB does not, `ahead` decodes in a thread of its
own, `interrupt` lets Ctrl-C through, `reread` tells how pandas reads it. `parallel` shares batches out to threads; `account` counts
rows, `held_out` splits them in two, `share` among processes, `watch` tells how far a scan has come; `frames` hands results back as
pandas, `write` as files, and `disk` keeps small texts and folders, which `schema` reads with a bound on every value.
"""

from squarely.data.absent import AbsentSource
from squarely.data.account import CAUSES, RowAccount
from squarely.data.aggregates import Engine, Held, Query, Row, Stage
from squarely.data.ahead import ahead
from squarely.data.arrays import open_arrays, open_rows
from squarely.data.batch import Batch, Labels, Numbers, all_finite, batches, fold, fold_parts, fold_until, map_batches, plain_level
from squarely.data.disk import local_path, printable, read_text, remove_unfinished, writable_folder, write_folder, write_text
from squarely.data.frames import frame, read_csv, series, square
from squarely.data.held_out import PartSource, split
from squarely.data.open import open_source
from squarely.data.reread import Reread, reread, reread_csv
from squarely.data.scattered import outcome, part_columns, worked
from squarely.data.share import share_of
from squarely.data.source import (
    BATCH_ROWS,
    EXACT_INTEGERS,
    Kind,
    Level,
    Part,
    Source,
    keeps_rows,
    not_usable,
    reads_as_number,
    require_columns,
    require_here,
)
from squarely.data.watch import Scan, counting, expect, passes_of, scanning, unwatched, watching
from squarely.data.write import write_columns

__all__ = [
    "BATCH_ROWS",
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
    "Part",
    "PartSource",
    "Query",
    "Reread",
    "Row",
    "RowAccount",
    "Scan",
    "Source",
    "Stage",
    "ahead",
    "all_finite",
    "batches",
    "counting",
    "expect",
    "fold",
    "fold_parts",
    "fold_until",
    "frame",
    "keeps_rows",
    "local_path",
    "map_batches",
    "not_usable",
    "open_arrays",
    "open_rows",
    "open_source",
    "outcome",
    "part_columns",
    "passes_of",
    "plain_level",
    "printable",
    "read_csv",
    "read_text",
    "reads_as_number",
    "remove_unfinished",
    "require_columns",
    "require_here",
    "reread",
    "reread_csv",
    "scanning",
    "series",
    "share_of",
    "split",
    "square",
    "unwatched",
    "watching",
    "worked",
    "writable_folder",
    "write_columns",
    "write_folder",
    "write_text",
]
