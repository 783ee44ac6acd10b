"""Predictions of rows with standard errors and limits: their predictor, the result, and the methods of `Fit`."""
