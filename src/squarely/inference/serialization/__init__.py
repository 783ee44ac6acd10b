"""Fits without their rows: saved as JSON, read back, and merged with others."""
