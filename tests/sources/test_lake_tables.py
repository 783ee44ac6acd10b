"""Delta and Iceberg tables: the rows of the newest snapshot, as the package that wrote them gives them."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import squarely as sq
from squarely.data import open_source
from squarely.errors import DataError
from tests.support.checks import assert_close, need

RNG = np.random.default_rng(21)
TABLE = pd.DataFrame({"x": RNG.normal(size=600), "year": np.repeat([2020, 2021, 2022], 200), "g": np.tile(["a", "b b", None], 200)})
TABLE["y"] = 3 * TABLE["x"] + TABLE["year"] / 10 + RNG.normal(size=600)
ROWS = pa.Table.from_pandas(TABLE, preserve_index=False)


def delta(folder):
    """Write a table in partitions that was overwritten, changed and compacted."""
    deltalake = need("deltalake")
    deltalake.write_deltalake(folder, ROWS.set_column(0, "x", pa.array(np.zeros(600))), partition_by=["year"])
    deltalake.write_deltalake(folder, ROWS, mode="overwrite")
    deltalake.write_deltalake(folder, ROWS.slice(0, 50), mode="append")
    table = deltalake.DeltaTable(folder)
    table.delete("x > 1")
    table.update(updates={"y": "y + 1"}, predicate="g = 'a'")
    table.optimize.compact()
    return table.to_pandas()


def iceberg(folder):
    """Write a table that was extended and from which rows were deleted, with a catalog in memory."""
    need("pyiceberg")
    from pyiceberg.catalog import MetastoreCatalog
    from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
    from pyiceberg.table import CommitTableResponse, Table
    from pyiceberg.table.sorting import UNSORTED_SORT_ORDER

    tables = {}

    class Catalog(MetastoreCatalog):
        def create_table(self, identifier, schema, location=None, *_, **__):
            parts = (location, UNPARTITIONED_PARTITION_SPEC, UNSORTED_SORT_ORDER, {})
            return self._keep(self._create_staged_table(identifier, schema, *parts))

        def commit_table(self, table, requirements, updates):
            staged = self._keep(self._update_and_stage_table(table, ("n", "t"), requirements, updates))
            return CommitTableResponse(metadata=staged.metadata, metadata_location=staged.metadata_location)

        def _keep(self, staged):
            self._write_metadata(staged.metadata, staged.io, staged.metadata_location)
            tables["t"] = Table(("n", "t"), staged.metadata, staged.metadata_location, staged.io, self)
            return tables["t"]

        def load_table(self, identifier):
            return tables["t"]

        def load_namespace_properties(self, namespace):
            return {}

    Catalog.__abstractmethods__ = frozenset()
    table = Catalog("memory", warehouse=f"file://{folder.parent}").create_table(("n", "t"), ROWS.schema, f"file://{folder}")
    table.append(ROWS)
    table.append(ROWS.slice(0, 50))
    table.delete("x > 1")
    return table.scan().to_arrow().to_pandas()


@pytest.mark.filterwarnings("ignore:Delete operation did not match any records")
@pytest.mark.parametrize(("make", "note"), [(delta, "of a Delta table"), (iceberg, "the newest metadata of an Iceberg table")])
def test_the_rows_are_those_of_the_newest_snapshot(make, note, tmp_path):
    expected = make(tmp_path / "t")
    source = open_source(tmp_path / "t")
    assert sorted(source.columns) == sorted(TABLE.columns)
    assert source.notes[0].endswith(note)
    assert sum(batch.num_rows for batch in source.read([])) == len(expected) < 650
    for formula in ("y ~ x + year", "y ~ x * C(year) + g", "y ~ ."):
        ours, theirs = sq.ols(formula, tmp_path / "t"), sq.ols(formula, expected)
        assert ours.rows.used == theirs.rows.used
        assert_close(ours.params[theirs.params.index], theirs.params, rtol=1e-8)
    some = sq.ols("y ~ x", tmp_path / "t", where="year == 2020")
    assert_close(some.params, sq.ols("y ~ x", expected[expected["year"] == 2020]).params, rtol=1e-10)
    assert_close(
        sq.ols("y ~ x", expected).predict(tmp_path / "t").mean(), sq.ols("y ~ x", expected).predict(expected).mean(), rtol=1e-10
    )


def test_a_feature_that_the_package_lacks_is_an_error(tmp_path):
    delta(tmp_path / "t")
    log = sorted((tmp_path / "t" / "_delta_log").glob("*.json"))[0]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        if "protocol" in line:
            features = {"readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}
            line["protocol"] = {"minReaderVersion": 3, "minWriterVersion": 7, **features}
    log.write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(
        DataError, match=r"is a Delta table that deltalake cannot read: .*deletionVectors.* Read it with .*delta_scan"
    ):
        open_source(tmp_path / "t")


def test_two_newest_metadata_files_are_not_guessed(tmp_path):
    iceberg(tmp_path / "t")
    newest = max((tmp_path / "t" / "metadata").glob("*.metadata.json"))
    newest.with_name("00003-other.metadata.json").write_bytes(newest.read_bytes())
    with pytest.raises(DataError, match="have the same number, and only the catalog knows"):
        open_source(tmp_path / "t")


@pytest.mark.parametrize(
    ("mark", "package", "extra"), [("_delta_log", "deltalake", "delta"), ("metadata/v1.metadata.json", "pyiceberg", "iceberg")]
)
def test_without_the_package_the_message_has_the_command(mark, package, extra, tmp_path):
    (tmp_path / "t" / mark).mkdir(parents=True)
    code = (
        f"import sys; sys.modules[{package!r}] = None; import squarely as sq\n"
        "try: sq.ols('y ~ x', 't')\nexcept sq.errors.MissingExtraError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    command = f'Install it with: pip install {package}, or squarely with its extra: pip install "squarely[{extra}]"'
    assert command in done.stdout, done.stderr
