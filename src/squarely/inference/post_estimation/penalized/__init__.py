"""Ridge, lasso and elastic net from the cross-products of a fit."""
