"""Cross-products and triangles of a design's columns: what both methods start from.

`Moments` has the cross-products. `gather` chooses where they come from: `cross_products` sums them from rows (`gpu` on a device),
and `engine` lets a database sum them. `merge` adds and subtracts moments, by the `change_of_basis` between their columns. `qr`
folds rows into a triangle, for columns too ill-conditioned for cross-products. `standardized` is the problem that training
solves, and `gradient_noise` what mini-batches add to it. `serialize` writes moments as JSON and reads them.
"""

from squarely.moments.change_of_basis import ChangeOfBasis
from squarely.moments.cross_products import Fold, fold_in_threads, fold_products, rows_per_block
from squarely.moments.engine.cell_counts import count_cells, ends_in_plane
from squarely.moments.engine.client import EngineClient
from squarely.moments.engine.columns import to_data_columns
from squarely.moments.engine.gram import EngineGram, EngineRecord, constant_atoms, gram_in_engine
from squarely.moments.engine.linear_combination import combination_sums
from squarely.moments.engine.rounding import ends_in_engine, rounding_in_engine
from squarely.moments.gather import (
    CHEAP_CELLS,
    choose_fold,
    fallback_remark,
    fold_moments,
    gather_in_engine,
    gather_moments,
    gather_response_moments,
    prefers_engine,
    require_fold,
)
from squarely.moments.gpu import fold_on_device
from squarely.moments.gradient_noise import expected_noise, fold_gradient_noise, noise_cost
from squarely.moments.merge import CANCELLATION, MergedMoments, SignedMoments, absent_levels, has_same_moments, merge_moments
from squarely.moments.moments import Moments, require_value_range
from squarely.moments.qr import fold_qr
from squarely.moments.serialize import (
    MAX_SAVED_COLUMNS,
    account_from_json,
    account_to_json,
    moments_from_json,
    moments_to_json,
    upper_rows,
)
from squarely.moments.standardized import StandardizedProblem, identity_scaling, standardize_moments
