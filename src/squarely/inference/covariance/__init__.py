"""Covariances of the coefficients: robust to heteroscedasticity, to clusters and to serial correlation."""
