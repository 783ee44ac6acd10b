"""A keyword argument that a function does not have is a TypeError that names the right one."""

import sys

import pytest

import squarely as sq
from squarely import cli

CALLS = [
    ("train", "learning_rate", 0.1, r"train\(\) has no argument 'learning_rate'\. Did you mean 'lr'\?"),
    ("train", "epoch", 10, r"train\(\) has no argument 'epoch'\. Did you mean 'epochs'\?"),
    ("ols", "na_values", ["?"], r"ols\(\) has no argument 'na_values'\. Use read=\{'na_values': \['\?'\]\}\."),
    ("ols", "sep", ";", r"ols\(\) has no argument 'sep'\. Use read=\{'delimiter': ';'\}\."),
    ("ols", "cov_type", "HC3", r"ols\(\) has no argument 'cov_type'\. Write vcov='HC3' for heteroscedasticity, cluster='firm' .*"),
    ("ols", "cov_kwds", {}, r"ols\(\) has no argument 'cov_kwds'\. Write its entries as arguments: cluster='firm' for groups.*"),
    ("ols", "robust", True, r"ols\(\) has no argument 'robust'\. Write vcov='HC1' for the numbers of Stata, or vcov='HC3'.*"),
    ("ols", "se_type", "HC2", r"ols\(\) has no argument 'se_type'\. Write vcov='HC2' .* or vcov='CR2', cluster='firm' .*"),
    ("ols", "clusters", "g", r"ols\(\) has no argument 'clusters'\. Write cluster='firm' with the name of a column\."),
    ("ols", "wher", "x > 1", r"ols\(\) has no argument 'wher'\. Did you mean 'where'\?"),
]


@pytest.mark.parametrize(("function", "name", "value", "message"), CALLS)
def test_the_right_name_is_in_the_message(function, name, value, message):
    with pytest.raises(TypeError, match=message + "$"):
        getattr(sq, function)("y ~ x", {"x": [0.0, 1.0], "y": [1.0, 2.0]}, **{name: value})


def test_methods_say_so_too():
    with pytest.raises(TypeError, match=r"predict\(\) has no argument 'unsen'\. Did you mean 'unseen'\?"):
        sq.ols("y ~ x", {"x": [0.0, 1.0, 2.0], "y": [1.0, 2.0, 4.0]}).predict({"x": [1.0]}, unsen="nan")


@pytest.mark.parametrize("method", ["predict", "get_prediction"])
@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("exog", r"Did you mean 'new'\?"),
        ("newdata", r"Did you mean 'new'\?"),
        ("se_fit", r"Write fit\.get_prediction\(new\)\.se_mean for standard errors\."),
        ("alpha", r"Write fit\.get_prediction\(new\)\.summary_frame\(alpha=0\.1\), or .*"),
        ("transform", r"Leave it out: new rows have the columns of the formula\."),
        ("zzz", r"Known names: 'new', .*"),
    ],
)
def test_what_other_packages_call_it_when_they_predict(method, name, advice):
    fit = sq.ols("y ~ x", {"x": [0.0, 1.0, 2.0], "y": [1.0, 2.0, 4.0]})
    with pytest.raises(TypeError, match=rf"{method}\(\) has no argument '{name}'\. {advice}$"):
        getattr(fit, method)(**{name: {"x": [1.0]}})


def test_another_type_error_stays_as_it_is():
    with pytest.raises(TypeError, match="positional argument"):
        sq.ols("y ~ x", {"x": [0.0, 1.0], "y": [1.0, 2.0]}, "drop")


@pytest.mark.parametrize(
    ("command", "flag", "right"),
    [("train", "--learning-rate", "--lr"), ("ols", "--sep", "--delimiter"), ("ols", "--wher", "--where")],
)
def test_the_command_line_says_so_too(command, flag, right, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["squarely", command, "y ~ x", "cars.csv", flag, "1"])
    with pytest.raises(SystemExit):
        cli.main()
    assert f"There is no option {flag}. Did you mean {right}?" in capsys.readouterr().err
