"""The same cross-products, computed by an engine."""
