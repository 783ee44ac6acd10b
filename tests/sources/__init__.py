"""One source of rows at a time: what it reads and what it refuses."""
