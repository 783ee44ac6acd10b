"""Least squares from solutions alone: fits of several sets of rows are added and removed without reading a row."""
