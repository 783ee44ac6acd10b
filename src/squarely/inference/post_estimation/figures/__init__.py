"""Figures of a fit: its rows with the line and its bands, and its coefficients with their limits."""
