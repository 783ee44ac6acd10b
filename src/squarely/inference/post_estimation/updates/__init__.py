"""A fit without a term, or with more rows, from its cross-products."""
