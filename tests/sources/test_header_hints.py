"""A first line that does not have the names ends in advice on how to read the file."""

import pytest

import squarely as sq
from squarely.data.header_hints import header_hint
from squarely.errors import DataError
from tests.support.checks import CARS

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
