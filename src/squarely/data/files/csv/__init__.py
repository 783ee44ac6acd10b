"""CSV files: their dialect, line ends and compression, read by DuckDB."""
