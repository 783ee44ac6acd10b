"""`squarely effects` and `squarely margins` print what the methods of a fit give."""

import json
import sys

import pytest

import squarely as sq
from squarely import cli
from tests.support.checks import CARS, assert_close

FORMULA = "mpg ~ log(weight) * C(origin) + horsepower"


def run(monkeypatch, capsys, *argv):
    monkeypatch.setattr(sys, "argv", ["squarely", *argv])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    shown = capsys.readouterr()
    assert stop.value.code == 0, shown.err
    return shown


@pytest.mark.parametrize(
    ("argv", "read"),
    [
        (["effects", "weight"], lambda fit: fit.effects("weight")),
        (["effects"], lambda fit: fit.effects()),
        (["effects", "weight", "horsepower", "--by", "origin,cylinders"],
         lambda fit: fit.effects(["weight", "horsepower"], by=["origin", "cylinders"])),
        (["effects", "weight", "--at", "weight=2000,3e3", "--at", "origin=2"],
         lambda fit: fit.effects("weight", at={"weight": [2000, 3000], "origin": 2})),
        (["effects", "weight", "--slope", "eyex"], lambda fit: fit.effects("weight", slope="eyex")),
        (["margins", "--at", "mean", "--by", "origin"], lambda fit: fit.margins(at="mean", by="origin")),
        (["margins", "--at", "horsepower=mean", "--at", "weight=2000", "--at", "weight=3000"],
         lambda fit: fit.margins(at={"horsepower": "mean", "weight": [2000, 3000]})),
    ],
)  # fmt: skip
def test_a_command_prints_what_the_method_gives(argv, read, monkeypatch, capsys):
    command, *rest = argv
    shown = run(monkeypatch, capsys, command, FORMULA, str(CARS), *rest, "--vcov", "HC3", "--json")
    frame = read(sq.ols(FORMULA, str(CARS), vcov="HC3"))
    rows = json.loads(shown.out)["table"]
    assert [list(row)[1:] for row in rows] == [list(frame.columns)] * len(frame)
    for column in ("estimate", "se", "pvalue", "low", "high"):
        assert_close([row[column] for row in rows], frame[column], rtol=1e-12)


def test_a_warning_names_what_the_rows_do_not_determine(tmp_path, monkeypatch, capsys):
    path = tmp_path / "rows.csv"
    path.write_text("a,b,y\n" + "p,u,1\np,v,2\nq,u,4\n" * 3 + "p,u,3\n")
    shown = run(monkeypatch, capsys, "margins", "y ~ a * b", str(path), "--at", "mean", "--by", "a,b")
    assert "1 estimate is NaN, because the rows do not determine it: a = q, b = v." in shown.err
    assert "nan" in shown.out
