"""Covariances that are robust to serial correlation: HAC in the order of rows, Driscoll-Kraay in that of periods."""
