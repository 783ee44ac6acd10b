"""Cross-products and triangles of the design's columns: what both roads share.

`cross_products` folds rows into Moments; `triangle` folds them into R of a QR where cross-products would cost digits;
`standardised` derives from Moments the problem that a training loop sees. `merging` adds Moments of several sets of rows and takes
them out again, by way of the `transfer` between their columns.
"""

from squarely.moments.cross_products import BLOCK_ROWS, Moments, fold_moments, gather
from squarely.moments.merging import CRUMBS, Merged, Share, absent_levels, merge_moments
from squarely.moments.standardised import Standardised, standardise
from squarely.moments.transfer import Transfer
from squarely.moments.triangle import fold_triangle, qr_triangle

__all__ = [
    "BLOCK_ROWS",
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
    "merge_moments",
    "qr_triangle",
    "standardise",
]
