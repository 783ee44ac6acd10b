"""Where the rows are: one contract, `Source`, and everything that implements it.

`open_source` opens any data as a Source. `fold_parts`, `map_batches` and `iter_batches` read its rows in order, as batches of
doubles and categories; `RowAccount` counts dropped rows. A `Query` asks an engine for sums instead of rows.

`files` reads file formats, `frames` tables in this process, `engines` tables elsewhere. `views` makes a source from another one.
`scan` is one pass over rows: decoding, threads, progress. An engine is imported only when its data are opened.
"""

from squarely.data.dtypes import TRUTH_WORDS, Kind, Level, exact_number, level_number, parses_as_number, unsupported_column_error
from squarely.data.files.file_kinds import named_kind
from squarely.data.files.read_options import dialect_notes
from squarely.data.files.write import write_columns
from squarely.data.first_rows import PreviewedColumn, examine_first_rows
from squarely.data.frames.arrays import ArraysSource, label_columns, named_columns, open_xy
from squarely.data.frames.arrow import is_in_memory
from squarely.data.frames.augmented_rows import augment_rows, labeled_frame
from squarely.data.open import open_new_rows, open_source
from squarely.data.pandas_io import (
    PandasReadCall,
    pandas_read_call,
    pandas_read_csv_call,
    read_csv,
    to_frame,
    to_page_frame,
    to_series,
)
from squarely.data.query import ColumnInfo, Engine, GroupBy, Query, Row, Stage
from squarely.data.scan.account import CAUSES, RowAccount
from squarely.data.scan.batch import Batch, CategoricalColumn, NumericColumn, decode_categories, is_all_finite, to_plain_level
from squarely.data.scan.batch_store import read_cache_limit
from squarely.data.scan.fold import fold_parts, iter_batches, map_batches
from squarely.data.scan.grouped import (
    GroupedStore,
    LabelPlaces,
    Labels,
    add_up,
    concat_labels,
    encode_labels,
    fractional_label_error,
    require_one_spelling,
    sum_by_code,
)
from squarely.data.scan.level_index import LevelIndex, make_labels, require_whole_labels, sort_labels, take_labels
from squarely.data.scan.prefetch import prefetch_items
from squarely.data.scan.progress import Scan, expect, listen, pass_counter, report_count, scan_purpose, silent
from squarely.data.source import (
    BATCH_ROWS,
    Source,
    is_aggregate_only,
    require_columns,
    require_local,
)
from squarely.data.views.cached import CachedSource
from squarely.data.views.detached import DetachedSource
from squarely.data.views.shard import shard_of
from squarely.data.views.split import SplitSource, split_source
