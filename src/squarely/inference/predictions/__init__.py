"""Predictions of a fit.

`predictor` has what computes them with their standard errors, and `intervals` the limits of rows anywhere. `prediction` is the
result, and `methods` has the methods of `Fit`.
"""
