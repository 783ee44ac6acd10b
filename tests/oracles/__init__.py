"""Numbers from elsewhere: R, statsmodels, NIST, exact fractions and published tables."""
