"""Tables in engines: DuckDB, Ibis, lazy Polars, Spark and Dask, and the functions that their workers run."""
