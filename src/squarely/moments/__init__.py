"""Cross-products and triangles of the design's columns: what both roads share.

`cross_products` folds rows into Moments, blocks of many `indicators` by group; `triangle` folds them into R of a QR where
cross-products would cost digits; `standardised` derives from Moments the problem that a training loop sees. `aggregates` lets an
engine work the cross-products out, with columns that `layout` lays out and sums by group from `query_group_sums`; `combination` is a scan of
what columns combine to; `rounding` bounds what they lost before;
`aggregated` is the record of it, and `choice` chooses between the two folds. `merging` adds Moments of
several sets of rows and takes them out again, by way of the `transfer` between their columns. `noise` folds rows into what theory
asks of mini-batches.
"""

from squarely.moments.change_of_basis import ChangeOfBasis
from squarely.moments.cross_products import Fold, fold_in_threads, fold_products, rows_per_block
from squarely.moments.engine.columns import EngineColumns, GroupedQuery, plan_engine_columns, to_data_columns
from squarely.moments.engine.gram import EngineGram, EngineRecord, constant_atoms, gram_in_engine, gram_of_columns
from squarely.moments.engine.group_sums import FactorTexts, GroupKey, QueryCost, changed_error, query_group_sums
from squarely.moments.engine.linear_combination import CombinationSums, combination_sums
from squarely.moments.engine.rounding import ends_in_engine, rounding_in_engine
from squarely.moments.gather import (
    choose_fold,
    fallback_remark,
    fold_moments,
    gather_in_engine,
    gather_moments,
    moments_of,
    prefers_engine,
    require_fold,
)
from squarely.moments.gradient_noise import expected_noise, fold_gradient_noise, noise_cost
from squarely.moments.merge import CANCELLATION, MergedMoments, SignedMoments, absent_levels, has_same_moments, merge_moments
from squarely.moments.moments import Moments
from squarely.moments.qr import fold_qr
from squarely.moments.standardized import StandardizedProblem, identity_scaling, standardize_moments

__all__ = [
    "CANCELLATION",
    "ChangeOfBasis",
    "CombinationSums",
    "EngineColumns",
    "EngineGram",
    "EngineRecord",
    "FactorTexts",
    "Fold",
    "GroupKey",
    "GroupedQuery",
    "MergedMoments",
    "Moments",
    "QueryCost",
    "SignedMoments",
    "StandardizedProblem",
    "absent_levels",
    "changed_error",
    "choose_fold",
    "combination_sums",
    "constant_atoms",
    "ends_in_engine",
    "expected_noise",
    "fallback_remark",
    "fold_gradient_noise",
    "fold_in_threads",
    "fold_moments",
    "fold_products",
    "fold_qr",
    "gather_in_engine",
    "gather_moments",
    "gram_in_engine",
    "gram_of_columns",
    "has_same_moments",
    "identity_scaling",
    "merge_moments",
    "moments_of",
    "noise_cost",
    "plan_engine_columns",
    "prefers_engine",
    "query_group_sums",
    "require_fold",
    "rounding_in_engine",
    "rows_per_block",
    "standardize_moments",
    "to_data_columns",
]
