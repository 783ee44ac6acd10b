"""Cross-products and triangles of the design's columns: what both roads share.

`cross_products` folds rows into Moments, blocks of many `indicators` by group; `triangle` folds them into R of a QR where
cross-products would cost digits; `standardised` derives from Moments the problem that a training loop sees. `merging` adds Moments
of several sets of rows and takes them out again, by way of the `transfer` between their columns.
"""

from squarely.moments.cross_products import Moments, fold_moments, gather, in_threads, piece_rows
from squarely.moments.merging import CRUMBS, Merged, Share, absent_levels, merge_moments
from squarely.moments.standardised import Standardised, standardise
from squarely.moments.transfer import Transfer
from squarely.moments.triangle import fold_triangle, qr_triangle

__all__ = [
    "CRUMBS",
    "Merged",
    "Moments",
    "Share",
    "Standardised",
    "Transfer",
    "absent_levels",
    "fold_moments",
    "fold_triangle",
    "gather",
    "in_threads",
    "merge_moments",
    "piece_rows",
    "qr_triangle",
    "standardise",
]
