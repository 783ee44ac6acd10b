"""Tables elsewhere: DuckDB, Ibis, lazy Polars, Spark and Dask, with what their workers run."""
