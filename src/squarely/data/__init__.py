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

from squarely.data.dtypes import Kind, Level, reads_as_number
from squarely.data.engines.partitions import outcome, part_columns, worked
from squarely.data.files.write import write_columns
from squarely.data.frames.arrays import open_arrays
from squarely.data.open import open_rows, open_source
from squarely.data.pandas_io import Reread, frame, read_csv, reread, reread_csv, series, square
from squarely.data.query import Engine, Held, Query, Row, Stage
from squarely.data.scan.account import CAUSES, RowAccount
from squarely.data.scan.batch import Batch, Labels, Numbers, all_finite, plain_level
from squarely.data.scan.fold import batches, fold, fold_parts, fold_until, map_batches
from squarely.data.scan.prefetch import ahead
from squarely.data.scan.progress import Scan, counting, expect, passes_of, scanning, unwatched, watching
from squarely.data.source import BATCH_ROWS, Part, Source, keeps_rows, not_usable, require_columns, require_here
from squarely.data.views.detached import AbsentSource
from squarely.data.views.shard import share_of
from squarely.data.views.split import PartSource, split

__all__ = [
    "BATCH_ROWS",
    "CAUSES",
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
    "map_batches",
    "not_usable",
    "open_arrays",
    "open_rows",
    "open_source",
    "outcome",
    "part_columns",
    "passes_of",
    "plain_level",
    "read_csv",
    "reads_as_number",
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
    "write_columns",
]
