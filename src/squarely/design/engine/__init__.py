"""The rows of X as expressions that an engine evaluates."""
