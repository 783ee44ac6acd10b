"""The text of a CSV file as DuckDB gets it: its encoding and compression, without skipped lines, and with checked line ends."""
