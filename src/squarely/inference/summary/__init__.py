"""The summary page of a fit, and its numbers as plain values."""
