"""The cross-products of Moments, computed by the engine that has the rows."""
