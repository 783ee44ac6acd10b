"""CSV files, read by DuckDB: their delimiter, decimal signs and names, and what is wrong with a file that it refuses."""
