"""A first line that does not have the names ends in advice on how to read the file."""

import numpy as np
import pytest

import squarely as sq
from squarely.data.header_hints import header_hint
from squarely.errors import DataError
from tests.support.checks import CARS, assert_close

ROWS = "1,2,3\n2,4,1\n3,6,2\n4,9,5\n"


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        ("Survey of 2020,,\nx,y,z\n" + ROWS, "skip the lines before it, as with read={'skip_rows': 1}"),
        ("#a,b,c\nx,y,z\n" + ROWS, "skip the lines before it"),
        ("sep=;\nx,y,z\n" + ROWS, "give read={'delimiter': ','}"),
    ],
)
def test_the_remedy_is_named(content, advice, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        sq.ols("price ~ size", path)
    assert "There is no column 'price' in data.csv." in str(caught.value)
    assert advice in str(caught.value)


def test_usual_names_have_no_advice(tmp_path):
    for names in (["x", "y"], ["", "x"], ["1990", "1991", "1992"], ["country", "1990", "1991"], ["q1", "2"], ["New York"[:3]], []):
        assert header_hint(names) == "", names
    with pytest.raises(DataError) as caught:
        sq.ols("mpg ~ wieght", CARS)
    assert str(caught.value).split("\n")[0].endswith("Did you mean 'weight'?")


@pytest.mark.parametrize(
    ("name", "content", "advice", "read"),
    [
        ("a.txt", "# price size\n1 2\n2 4.5\n3 5\n4 8\n", "behind a comment sign", {"skip_rows": 1, "names": ["price", "size"]}),
        ("a.csv", "# price,size\n1,2\n2,4.5\n3,5\n4,8\n", "behind a comment sign", {"skip_rows": 1, "names": ["price", "size"]}),
    ],
)
def test_names_behind_a_comment_sign_are_read_as_advised(name, content, advice, read, tmp_path):
    """Expected: what numpy.savetxt wrote, by numpy.polyfit."""
    (tmp_path / name).write_text(content)
    for delimiter in (None, "whitespace") if name == "a.txt" else (None,):
        with pytest.raises(DataError) as caught:
            sq.ols("price ~ size", tmp_path / name, read={"delimiter": delimiter} if delimiter else None)
        assert advice in str(caught.value)
        assert f"give read={read}." in str(caught.value)
    slope, intercept = np.polyfit([2, 4.5, 5, 8], [1, 2, 3, 4], 1)
    assert_close(sq.ols("price ~ size", tmp_path / name, read=read).params, [intercept, slope], rtol=1e-12)


def test_columns_between_blanks_are_named(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(" x   y\n 1   2\n 2\n 3   4\n")
    with pytest.raises(DataError, match=r"between blanks, give read=\{'delimiter': 'whitespace'\}"):
        sq.ols("y ~ x", path)


def test_one_column_with_decimal_commas_is_read_as_advised(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("y\n1,5\n2,5\n4,0\n3,0\n")
    with pytest.raises(DataError, match=r"If the commas are decimal, give another delimiter: read=\{'delimiter': ';'\}"):
        sq.ols("y ~ 1", path)
    assert_close(sq.ols("y ~ 1", path, read={"delimiter": ";"}).params, [2.75], rtol=1e-15)


def test_backslashes_before_quotes_are_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x,y,size\n" + "TEXT".join(["1,2,", "2,3,", "3,5,", ""]).replace("TEXT", '"5\\" pipe, short"\n'))
    with pytest.raises(DataError, match=r"a backslash escapes a quote in line .* pandas.read_csv\('a.csv', escapechar='.{2}'\)"):
        sq.ols("y ~ x", path)
