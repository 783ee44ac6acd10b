"""CSV files, read by DuckDB: decimal signs, encoding, line ends and compression that it does not check."""
