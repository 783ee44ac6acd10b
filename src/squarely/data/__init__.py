"""Where the rows are: open anything tabular, meet its rows as ordered batches, and account for every one.

`open` tells what the user handed over; `source` is the contract, and the parts of a source that can be read by themselves;
`batch` is its rows as doubles (`decimals` apart) and categories, `aggregates` what an engine is asked to sum by itself; the kinds
of source are `memory`, `arrow`, `csv` (with a guess of its `dialect`), `jsonlines`, `parquet`, `ipc`, `lazyframe`, `relation`,
`ibis`, `spark` (what goes to its processes is in `executors`), `dask` (with its `scheduler`) and, for a loaded fit, `absent`;
what comes back from other processes is in `scattered`, and `bundle` is what they are sent. `paths` finds several files, `lakes`
refuses tables of which only a log tells what counts, `partitions` makes columns of folders, `joined` puts files behind each other;
`file` says whether a file is still the same, `gunzip` and `uneven` check what DuckDB does not, `prefetch` decodes in a thread of its
own, `interrupt` lets Ctrl-C through, `pandas_read_call` tells how pandas reads it. `parallel` shares batches out to threads; `account` counts
rows, `validation_code` splits them in two, `share` among processes, `watch` tells how far a scan has come; `frames` hands results back as
pandas, `write` as files, and `disk` keeps small texts and folders, which `schema` reads with a bound on every value.
"""

from squarely.data.dtypes import Kind, Level, parses_as_number
from squarely.data.engines.partitions import describe_columns, run_on_partition, unpack_payload
from squarely.data.files.write import write_columns
from squarely.data.frames.arrays import open_xy
from squarely.data.open import open_new_rows, open_source
from squarely.data.pandas_io import (
    PandasReadCall,
    pandas_read_call,
    pandas_read_csv_call,
    read_csv,
    to_frame,
    to_series,
    to_square_frame,
)
from squarely.data.query import ColumnInfo, Engine, Query, Row, Stage
from squarely.data.scan.account import CAUSES, RowAccount
from squarely.data.scan.batch import Batch, CategoricalColumn, NumericColumn, is_all_finite, to_plain_level
from squarely.data.scan.fold import fold, fold_parts, fold_until, iter_batches, map_batches
from squarely.data.scan.prefetch import prefetch
from squarely.data.scan.progress import Scan, expect, listen, pass_counter, report_count, scan_purpose, silent
from squarely.data.source import (
    BATCH_ROWS,
    RowRange,
    Source,
    is_aggregate_only,
    require_columns,
    require_local,
    unsupported_column_error,
)
from squarely.data.views.detached import DetachedSource
from squarely.data.views.shard import shard_of
from squarely.data.views.split import SplitSource, split_source

__all__ = [
    "BATCH_ROWS",
    "CAUSES",
    "Batch",
    "CategoricalColumn",
    "ColumnInfo",
    "DetachedSource",
    "Engine",
    "Kind",
    "Level",
    "NumericColumn",
    "PandasReadCall",
    "Query",
    "Row",
    "RowAccount",
    "RowRange",
    "Scan",
    "Source",
    "SplitSource",
    "Stage",
    "describe_columns",
    "expect",
    "fold",
    "fold_parts",
    "fold_until",
    "is_aggregate_only",
    "is_all_finite",
    "iter_batches",
    "listen",
    "map_batches",
    "open_new_rows",
    "open_source",
    "open_xy",
    "pandas_read_call",
    "pandas_read_csv_call",
    "parses_as_number",
    "pass_counter",
    "prefetch",
    "read_csv",
    "report_count",
    "require_columns",
    "require_local",
    "run_on_partition",
    "scan_purpose",
    "shard_of",
    "silent",
    "split_source",
    "to_frame",
    "to_plain_level",
    "to_series",
    "to_square_frame",
    "unpack_payload",
    "unsupported_column_error",
    "write_columns",
]
