"""Diagnostics: tests of what least squares assumes of the errors, and measures of how far columns depend on each other."""
