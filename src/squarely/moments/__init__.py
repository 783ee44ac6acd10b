"""Cross-products and triangles of the design's columns: what both roads share.

`cross_products` folds rows into Moments; `triangle` folds them into R of a QR where cross-products would cost digits;
`standardise` derives from Moments the problem that a training loop sees.
"""

from squarely.moments.cross_products import Moments, fold_moments, gather
from squarely.moments.standardise import Standardised, standardise
from squarely.moments.triangle import fold_triangle, triangle

__all__ = ["Moments", "Standardised", "fold_moments", "fold_triangle", "gather", "standardise", "triangle"]
