"""Equations between two fits, as properties."""
