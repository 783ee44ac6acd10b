"""Covariances of the coefficients: classical, robust to heteroscedasticity, clustered, and robust to serial correlation.

Every covariance is A M A' with A A' = (X'X)^-1 in the units of the data. `root.py` computes A, and `robust.py` has the meat M.
`options.py` reads `vcov=` and its companions, and `estimate.py` scans the rows for the estimator that they name.
"""
