"""One file per format, several files as one table, and writing."""
