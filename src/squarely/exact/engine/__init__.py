"""Least squares for rows that stay in an engine; each file does the work of its namesake in the package above."""
