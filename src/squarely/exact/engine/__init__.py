"""Least squares where the rows stay in an engine; the files mirror those of `exact`."""
