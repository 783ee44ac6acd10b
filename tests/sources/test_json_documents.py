"""JSON documents: an array of objects is the table of its JSON lines, and every other shape names what reads it."""

import gzip
import io
import json

import numpy as np
import pandas as pd
import pytest

import squarely as sq
from squarely.data import open_source
from squarely.data.files.json import json_array
from squarely.errors import DataError
from tests.support.scripts import run_script

RNG = np.random.default_rng(20)
TABLE = pd.DataFrame({"x": RNG.normal(size=300), "k": np.arange(300) % 5, "g": np.tile(["a, [b]", 'q"\\n', "ü\u2028", "{d}"], 75)})
TABLE["y"] = 3 * TABLE["x"] + RNG.normal(size=300)
ROWS = TABLE.to_dict("records")
del ROWS[3]["x"]
ROWS[4]["g"] = None


def lines(path):
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


SHAPES = {
    "array": json.dumps(ROWS),
    "pretty": json.dumps(ROWS, indent=2, ensure_ascii=False),
    "CRLF": json.dumps(ROWS, indent=2).replace("\n", "\r\n"),
    "mark": "\ufeff \n" + json.dumps(ROWS),
    "data": json.dumps({"data": ROWS}),
    "table": json.dumps({"schema": {"fields": [{"name": "x"}]}, "n": 300, "data": ROWS, "tags": [1, 2], "next": None}),
    "pretty data": json.dumps({"tags": [], "rows": ROWS}, indent=1),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("piece", [2**22, 7])
def test_the_rows_are_those_of_json_lines(shape, piece, tmp_path, monkeypatch):
    """With a window of 7 bytes every value is cut somewhere."""
    monkeypatch.setattr(json_array, "_PIECE", piece)
    path, packed = tmp_path / "t.json", tmp_path / "t.json.gz"
    path.write_text(SHAPES[shape], encoding="utf-8")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    expected = sq.ols("y ~ x + g + C(k)", lines(tmp_path / "t.jsonl"))
    for data in (path, packed, io.BytesIO(path.read_bytes())):
        fit = sq.ols("y ~ x + g + C(k)", data)
        assert (fit.params.to_dict(), fit.bse.to_dict()) == (expected.params.to_dict(), expected.bse.to_dict())
        assert fit.rows.used == 298


def test_lines_stay_lines(tmp_path):
    for text in ('{"y": 1, "x": [1]}\n{"y": 2, "x": [1]}', '{"y": 1}', '{"y": 1, "x": 2}\n{"y": 3}\n', '\n{"y": 1}\n\n{"y": 2}'):
        (tmp_path / "t.json").write_text(text)
        assert "y" in open_source(tmp_path / "t.json").columns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[1, 2], [2, 4]]", r"holds arrays of values, not objects.* Load it with pandas.read_json\('.*t.json', orient='values'\)"),
        ('{"columns": ["x", "y"], "index": [0], "data": [[1, 2]]}', r"arrays of values, .*read_json\('.*t.json', orient='split'\)"),
        ('{"x": {"0": 1}, "y": {"0": 2}}', r"an object for each column or row.* pandas.read_json\('.*t.json'\)"),
        ('{"x": [1, 2], "y": [2, 4]}', r"an array for each column.*pandas.DataFrame\(json.load\(open\('.*t.json'\)\)\)"),
        ('{\n"x": [],\n"n": 1}', r"has no array of objects"),
        (
            '{"a": [{"x": 1}], "b": [{"x": 2}]}',
            r"has two arrays of objects, 'a' and 'b'.* Write one object on each line: jq -c '.a\[\]'",
        ),
        ("[1, 2]", "element 1 of the array is not an object"),
        ('[{"x": 1}, null]', "element 2 of the array is not an object"),
        ('[{"x": 1}, {"x": 2', "damaged or was cut short"),
        ('[{"x": 1}, {"x": 2}', "damaged or was cut short: it ends too early"),
        ('[{"x": 1}] [{"x": 2}]', r"there is '\[' behind its end"),
        ('[{"x": 1} {"x": 2}]', "'{' where one of ',]' should be"),
        ('{"data": [{"x": 1}], ', "damaged or was cut short"),
        ("[]", "holds an empty array"),
    ],
)
def test_another_shape_is_an_error(text, message, tmp_path):
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(DataError, match=message):
        open_source(tmp_path / "t.json")


def test_a_script_reads_an_array_too(tmp_path):
    (tmp_path / "t.json").write_text(SHAPES["pretty"], encoding="utf-8")
    run = sq.train("y ~ x + g", tmp_path / "t.json", epochs=3, lr=0.1)
    (tmp_path / "script.py").write_text(run.code())
    assert run_script(tmp_path / "script.py").stdout.startswith(f"Epoch 3: loss {run.history['loss'].iloc[-1]:.8g}")
