"""Effects of the predictors of a fit: slopes, contrasts and average predictions, standardized coefficients, partial R-squared."""
