"""Rows for the benchmarks: generated from a seed, in memory or as files that are written once."""

import os

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SEED, CHUNK = 0, 1_000_000


def columns(n, p, seed=SEED):
    """Make p predictors with different means, and a response: name -> doubles (n,)."""
    rng = np.random.default_rng([SEED, seed])
    data = {f"x{j}": rng.normal(loc=j % 7, scale=1 + j % 3, size=n) for j in range(1, p + 1)}
    data["y"] = 3 + sum(x * (0.5 if j % 2 else -0.25) for j, x in enumerate(data.values())) + rng.normal(size=n)
    return data


def grouped(n, levels, seed=SEED):
    """Make a column of many levels, a predictor and a response whose mean differs by level; every level has rows."""
    rng = np.random.default_rng([SEED, seed])
    code = np.concatenate([np.arange(levels), rng.integers(0, levels, n - levels)]) if seed == SEED else rng.integers(0, levels, n)
    x = rng.normal(size=n) + code % 5
    names = pa.array([f"level {k:05d}" for k in range(levels)])
    return {
        "g": pa.DictionaryArray.from_arrays(pa.array(code.astype(np.int32)), names),
        "x": x,
        "y": 2 * x + code % 11 + rng.normal(size=n),
    }


def written(path, n, make, group=None):
    """Write n rows of `make(rows, seed)` to a Parquet file, chunk by chunk, unless it exists; return its path.

    Row groups have at most `group` rows, or those of a chunk if it is None.
    """
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    writer = None
    for seed, start in enumerate(range(0, n, CHUNK)):
        table = pa.table(make(min(CHUNK, n - start), seed))
        writer = writer or pq.ParquetWriter(part, table.schema, use_dictionary=["g"])
        writer.write_table(table, row_group_size=group)
    writer.close()
    os.replace(part, path)  # whole or not at all: an interrupted run leaves no file that looks complete
    return path


def numbers_file(folder, n, p):
    return written(folder / f"numbers-{n}x{p}.parquet", n, lambda rows, seed: columns(rows, p, seed))


def weighted(n, p, seed=SEED):
    """Make p predictors with mean zero, and a response with coefficients 1 to p, noise of one and no constant."""
    rng = np.random.default_rng([SEED, seed])
    data = {f"x{j}": rng.normal(size=n) for j in range(1, p + 1)}
    data["y"] = sum(j * x for j, x in enumerate(data.values(), start=1)) + rng.normal(size=n)
    return data


def weighted_file(folder, n, p, group=250_000):
    path = folder / f"weighted-{n}x{p}-by-{group}.parquet"
    return written(path, n, lambda rows, seed: weighted(rows, p, seed), group)


def numbers_folder(folder, n, p, files=5):
    """Write several files with n rows in total, all different, to a folder; return its path."""
    inside, each = folder / f"numbers-{n}x{p}", n // files
    for k in range(files):
        written(inside / f"part-{k}.parquet", each, lambda rows, seed, k=k: columns(rows, p, 1_000 * (k + 1) + seed))
    return inside


def grouped_file(folder, n, levels):
    return written(folder / f"grouped-{n}x{levels}.parquet", n, lambda rows, seed: grouped(rows, levels, seed))


def text_files(folder, n):
    """Write n rows of nine numbers of six digits and a text of seven levels as CSV, gzipped CSV and JSON lines: path -> kind."""
    levels = np.array(["north", "south", "east", "west", "central", "coast", "hill"])
    rng = np.random.default_rng([SEED, n])
    table = pa.table({name: x.round(6) for name, x in weighted(n, 8).items()} | {"g": levels[rng.integers(0, 7, n)]})
    kinds = {
        folder / f"text-{n}.csv": ("CSV", "FORMAT csv"),
        folder / f"text-{n}.csv.gz": ("gzipped CSV", "FORMAT csv, COMPRESSION gzip"),
        folder / f"text-{n}.jsonl": ("JSON lines", "FORMAT json"),
    }
    with duckdb.connect() as connection:
        connection.register("written_table", table)
        for path, (_, how) in kinds.items():
            if not path.exists():
                connection.execute(f"COPY written_table TO '{path}' ({how})")
    return {path: kind for path, (kind, _) in kinds.items()}
