"""One suite over every engine: all give the same numbers."""
