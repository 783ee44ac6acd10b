"""Tests of linear hypotheses on the coefficients."""
