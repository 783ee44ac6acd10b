"""Cross-products and triangles of the design's columns: what both roads share.

`cross_products` folds rows into Moments, blocks of many `indicators` by group; `triangle` folds them into R of a QR where
cross-products would cost digits; `standardised` derives from Moments the problem that a training loop sees. `aggregates` lets an
engine work the cross-products out, with columns that `layout` lays out and sums by group from `tally`; `combination` is a scan of
what columns combine to; `rounding` bounds what they lost before;
`aggregated` is the record of it, and `choice` chooses between the two folds. `merging` adds Moments of
several sets of rows and takes them out again, by way of the `transfer` between their columns. `noise` folds rows into what theory
asks of mini-batches.
"""

from squarely.moments.change_of_basis import Transfer
from squarely.moments.cross_products import Fold, fold_products, in_threads, piece_rows
from squarely.moments.engine.columns import Layout, Prepared, lay_out, way_back
from squarely.moments.engine.gram import Aggregated, Folded, constants, fold_inside, refolded
from squarely.moments.engine.group_sums import Effort, Factors, Key, changed, tally
from squarely.moments.engine.linear_combination import Combined, combine
from squarely.moments.engine.rounding import ends_inside, rounded_inside
from squarely.moments.gather import (
    choose_fold,
    fold_moments,
    gather,
    gather_inside,
    moments_of,
    require_fold,
    suits_aggregates,
    unserved,
)
from squarely.moments.gradient_noise import expected_noise, fold_noise, noise_cost
from squarely.moments.merge import CRUMBS, Merged, Share, absent_levels, are_alike, merge_moments
from squarely.moments.moments import Moments
from squarely.moments.qr import fold_triangle, qr_triangle
from squarely.moments.standardized import Standardised, standardise, unstandardised

__all__ = [
    "CRUMBS",
    "Aggregated",
    "Combined",
    "Effort",
    "Factors",
    "Fold",
    "Folded",
    "Key",
    "Layout",
    "Merged",
    "Moments",
    "Prepared",
    "Share",
    "Standardised",
    "Transfer",
    "absent_levels",
    "are_alike",
    "changed",
    "choose_fold",
    "combine",
    "constants",
    "ends_inside",
    "expected_noise",
    "fold_inside",
    "fold_moments",
    "fold_noise",
    "fold_products",
    "fold_triangle",
    "gather",
    "gather_inside",
    "in_threads",
    "lay_out",
    "merge_moments",
    "moments_of",
    "noise_cost",
    "piece_rows",
    "qr_triangle",
    "refolded",
    "require_fold",
    "rounded_inside",
    "standardise",
    "suits_aggregates",
    "tally",
    "unserved",
    "unstandardised",
    "way_back",
]
