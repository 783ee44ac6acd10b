"""Cross-products and triangles of the design's columns: what both roads share.

`cross_products` folds rows into Moments; `triangle` folds them into R of a QR where cross-products would cost digits;
`standardised` derives from Moments the problem that a training loop sees.
"""

from squarely.moments.cross_products import BLOCK_ROWS, Moments, fold_moments, gather
from squarely.moments.standardised import Standardised, standardise
from squarely.moments.triangle import fold_triangle, qr_triangle

__all__ = ["BLOCK_ROWS", "Moments", "Standardised", "fold_moments", "fold_triangle", "gather", "qr_triangle", "standardise"]
