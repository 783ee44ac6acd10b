"""What the reader of CSV does not see: a field too many at the end of a line, and the sums of gzip."""

import csv
import gzip
import io
import itertools

import numpy as np
import pytest

import squarely as sq
from squarely.data import open_source
from squarely.data.files.csv.text.line_ends import LineEnds
from squarely.errors import DataError
from tests.support.checks import assert_close
from tests.support.scripts import run_script

SHIFTED = "price,size,note\n980,50,\n750,51,\n890,52,\n1,250,53,\n870,54,\n990,55,\n640,56,\n"
SAYS = "Line 5 of .* has 4 fields, and the header has 3"
NOTE = "Read with a delimiter at the end of every line, with nothing after it."


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", SHIFTED),
        ("a.csv", SHIFTED.replace(",", ";")),
        ("a.tsv", SHIFTED.replace(",", "\t").replace("\n", "\r\n")),
        ("a.csv", SHIFTED.replace("\n", "\r")),
        ("a.csv", SHIFTED[:-1]),
        ("a.csv", SHIFTED.replace("\n9", "\n\n9", 1).replace("\n\n", "\n")),
        ("a.csv", b"\xef\xbb\xbf" + SHIFTED.encode()),
        ("a.csv", SHIFTED.encode("utf-16")),
        ("a.csv.gz", gzip.compress(SHIFTED.encode(), mtime=0)),
        ("a.csv", SHIFTED.replace("980,50,", '980,50,"a,b"').replace("750", '"750"')),
        ("a.csv", SHIFTED.replace("980,50,", '980,50,5" pipe')),
    ],
)
def test_a_line_with_an_empty_field_too_many_is_refused(name, content, tmp_path):
    """Expected: pandas sees price = 1, size = 250, note = 53 there, and R's read.csv a row more; 1,250 was meant."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for data in (path, tmp_path, [path]):
        with pytest.raises(DataError, match=SAYS):
            sq.ols("price ~ size", data)


def test_a_line_far_down_and_one_of_a_quoted_text_of_several_lines_are_met(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("y,x,n\n" + "".join(f"{i % 7},{i % 5},\n" for i in range(100_000)) + "1,250,53,\n")
    with pytest.raises(DataError, match=r"Line 100,002 of a.csv has 4 fields"):
        sq.ols("y ~ x", path)
    path.write_text('y,x,n\n1,2,"a,b"\n2,3,"c"\n4,5,\n7,2,"x\ny",\n')
    with pytest.raises(DataError, match=r"Line 6 of a.csv has 4 fields"):
        sq.ols("y ~ x", path)


@pytest.mark.parametrize("header", ["y,x,n", "y,x,n,"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_an_empty_field_at_the_end_of_every_line_is_none_and_noted(header, end, tmp_path):
    """Bloomberg, rp5 and the World Bank write so."""
    rows = np.random.default_rng(3).integers(1, 99, (40, 3))
    lines = [",".join(map(str, row)) + "," for row in rows.tolist()]
    path = tmp_path / "a.csv"
    path.write_bytes(end.join([header, *lines, ""]).encode())
    X = np.column_stack([np.ones(40), rows[:, 1:]])
    fit = sq.ols("y ~ .", path)
    assert list(fit.params.index) == ["Intercept", "x", "n"]
    assert_close(fit.params, np.linalg.lstsq(X, rows[:, 0], rcond=None)[0], rtol=1e-9)
    assert NOTE in " ".join(str(fit.summary()).split())
    path.write_bytes(end.join([header, *lines[:-1], lines[-1][:-1], ""]).encode())
    with pytest.raises(DataError, match=r"line 41 has 3 fields"):
        sq.ols("y ~ x", path)
    path.write_bytes(end.join([header, *lines, "1,250,3,9,", ""]).encode())
    with pytest.raises(DataError, match=r"[Ll]ine 42 .*has 5 fields"):
        sq.ols("y ~ x", path)


def test_a_script_reads_such_a_file_with_its_columns_in_place(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x,y,n\n12,5,3,\n3,25,1,\n8,0,2,\n1,5,4,\n22,75,5,\n")
    run = sq.train("y ~ x", path, epochs=3, lr=0.1)
    (tmp_path / "script.py").write_text(run.code())
    ended = run_script(tmp_path / "script.py")
    assert ended.stdout.startswith(f"Epoch 3: loss {run.history['loss'].iloc[-1]:.8g}")


def test_the_counts_agree_with_a_parser(tmp_path):
    """Expected: Python's csv module, over texts with quotes, line ends in them, blank lines and empty fields."""
    rng = np.random.default_rng(11)
    words = ["", "", "a", "7", "b,c", "d\ne", 'f"g', ",", "\n", "h,\n,i,\n"]
    for trial in range(300):
        extra, end = trial % 3 == 0, ("\n", "\r\n")[trial % 2]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator=end)
        writer.writerow(["p", "q", "r"])
        odd = None
        for i in range(12):
            row = [words[k] for k in rng.integers(0, len(words), 3)] + [""] * extra
            if trial % 4 == 1 and i == 7:
                row, odd = (row[:-1] if extra else [*row, ""]), i
            if any(row):
                writer.writerow(row)
        found = [row for row in csv.reader(io.StringIO(text.getvalue(), newline="")) if row][1:]
        content = text.getvalue().encode()
        pieces = [content[k : k + 37] for k in range(0, len(content), 37)]
        ends = LineEnds(lambda content=content: io.StringIO(content.decode(), newline=""), ",", 3, 3)
        expected = [len(row) == 4 and not row[-1] for row in found]
        assert ends.has_extra_field == expected[0]
        assert (ends.find_other_line(pieces) is None) == (len(set(expected)) == 1), (trial, odd, content)


TEXT = ("y,x\n" + "".join(f"{i % 97}.5,{i % 89}.25\n" for i in range(120_000))).encode()


def parts(level=0):
    half = len(TEXT) // 2 // 12 * 12
    return gzip.compress(TEXT[:half], level), gzip.compress(TEXT[half:], level)


def with_byte(data, place, value=None):
    data = bytearray(data)
    data[place] = data[place] ^ 1 if value is None else value
    return bytes(data)


def test_a_gzipped_file_that_is_damaged_is_refused(tmp_path):
    """Expected: what gzip -t says of each."""
    stored, packed, (one, two) = gzip.compress(TEXT, 0), gzip.compress(TEXT), parts()
    damaged = {
        "a value": with_byte(stored, stored.find(b"88.25", 1_200_000), ord("9")),
        "the sum": with_byte(packed, -8),
        "the length": with_byte(packed, -4),
        "a member's sum": with_byte(one, -8) + two,
        "something behind": packed + b"junk",
        **{f"cut by {n}": packed[:-n] for n in (1, 4, 8, 9, 5000)},
        **{f"a member cut by {n}": one[:-n] + two for n in (1, 8)},
    }
    path = tmp_path / "a.csv.gz"
    for what, content in damaged.items():
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be read") as found:
            sq.ols("y ~ x", path)
        assert "a.csv.gz" in str(found.value), what


@pytest.mark.parametrize("zeros", [0, 1, 9, 512])
def test_members_and_zeros_behind_them_are_read(zeros, tmp_path):
    one, two = parts(6)
    path = tmp_path / "a.csv.gz"
    for content in (gzip.compress(TEXT), one + two, one + two + gzip.compress(b"")):
        path.write_bytes(content + bytes(zeros))
        assert sq.ols("y ~ x", path).nobs == 120_000
    assert open_source(path).read(["y"]) is not None
    assert next(itertools.chain.from_iterable(batch.columns for batch in open_source(path).read(["x"])))[0].as_py() == 0.25
