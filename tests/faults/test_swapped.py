"""A formula and data in the wrong order are recognized, and no data are printed."""

import sys

import pytest

import squarely as sq
from squarely import cli
from squarely.errors import InputError
from tests.support.checks import CARS, need


@pytest.mark.parametrize("call", ["ols", "preview", "train", "sweep"])
def test_the_order_is_named(call):
    if call in ("train", "sweep"):
        need("torch")
    for data in (sq.datasets.cars(), str(CARS), {"x": [1.0]}):
        with pytest.raises(InputError, match=r"'mpg ~ weight' in that of the data\. Give the formula first\.$") as caught:
            getattr(sq, call)(data, "mpg ~ weight")
        assert len(str(caught.value)) < 130


def test_a_frame_for_a_formula_is_not_printed():
    with pytest.raises(
        InputError, match=r"The formula is of type DataFrame, not text\. .* or give arrays as X= and y=\.$"
    ) as caught:
        sq.ols(sq.datasets.cars(), CARS)
    assert len(str(caught.value)) < 150


def test_on_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["squarely", "ols", str(CARS), "mpg ~ weight"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "Give the formula first." in capsys.readouterr().err
