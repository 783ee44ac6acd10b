"""Cross-products and triangles of the design's columns: what both roads share.

`cross_products` folds rows into Moments, blocks of many `indicators` by group; `triangle` folds them
into R of a QR where cross-products would cost digits; `standardised` derives from Moments the problem that a training loop sees.
"""

from squarely.moments.cross_products import Moments, fold_moments, gather, in_threads, piece_rows
from squarely.moments.indicators import sparse
from squarely.moments.standardised import Standardised, standardise
from squarely.moments.triangle import fold_triangle, qr_triangle

__all__ = [
    "Moments",
    "Standardised",
    "fold_moments",
    "fold_triangle",
    "gather",
    "in_threads",
    "piece_rows",
    "qr_triangle",
    "sparse",
    "standardise",
]
