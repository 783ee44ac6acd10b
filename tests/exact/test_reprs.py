"""What objects show of themselves: one short line, and the names that a user needs."""

import contextlib
import inspect
import math
import pydoc

import numpy as np
import pytest

import squarely as sq
from tests.support.checks import CARS, need


@pytest.fixture(scope="module")
def results():
    need("torch")
    fit = sq.ols("mpg ~ displacement + C(origin) + bs(weight, df=4)", CARS)
    run = sq.train("mpg ~ displacement + weight", CARS, lr=0.02, epochs=20, validation=0.2)
    batches = sq.train("mpg ~ displacement", sq.datasets.cars(), lr=0.01, epochs=2, batch_size=50)
    sweep = sq.sweep("mpg ~ displacement", CARS, lr=[0.1, 0.01], epochs=5)
    return [fit, run, batches, sweep, sq.certify(sq.ols("mpg ~ displacement", CARS), batches), sq.preview("mpg ~ weight", CARS)]


def reachable(item, depth=0):
    """Give every object of ours within a result, up to four attributes deep."""
    if type(item).__module__.startswith("squarely"):
        yield item
        names = [name for name in object.__dir__(item) if not name.startswith("_")] if depth < 4 else []
        for name in names:
            with contextlib.suppress(AttributeError, sq.errors.SquarelyError):  # such as aggregates of a file
                if not inspect.ismethod(value := getattr(item, name)):
                    yield from reachable(value, depth + 1)
    elif isinstance(item, tuple) and item:
        yield from reachable(item[0], depth + 1)


def test_every_object_inside_a_result_has_a_short_representation(results):
    found = [each for result in results for each in reachable(result)]
    kinds = {type(each).__name__ for each in found}
    assert {"RunTheory", "Design", "Solution", "Normality", "TrainingOptions", "Spectrum", "Formula", "SplitSource"} <= kinds
    for each in found:
        text = repr(each)
        if type(each).__name__ in ("LinearRegression", "Certificate"):  # as torch shows a module; a page
            continue
        assert len(text) <= 250, (type(each), text)
        assert "\n" not in text, text
        assert "array(" not in text, text
        assert " at 0x" not in text, text


def test_representations_say_what_matters(results):
    fit, run, *_ = results
    assert repr(fit.design) == "<Design 'mpg ~ displacement + C(origin) + bs(weight, df=4)': 8 columns>"
    assert repr(fit.solution).startswith("<Solution: 8 of 8 coefficients, from moments, ")
    assert repr(run.theory.spectrum) == "Spectrum(values=array[3], vectors=array[3, 3])"
    assert repr(run.options).startswith("TrainingOptions(lr=0.02, epochs=20, ")
    assert "momentum" not in repr(run.options)[: repr(run.options).find("parameter_groups")]  # a default
    assert repr(fit.source) == f"<{type(fit.source).__name__} {fit.source.label!r}>"
    assert repr(fit.normality).startswith(f"Normality(skew={fit.normality.skew:.6g}, ")


@pytest.mark.diverges
def test_a_loss_of_any_size_is_short():
    need("torch")
    run = sq.train("mpg ~ displacement", CARS, lr=10.0, epochs=20)
    assert f"loss {run.result.final_values['loss']:.4g};" in repr(run)
    assert math.isfinite(float(repr(run).split("loss ")[1].split(";")[0]))


def test_dir_has_what_a_user_needs(results):
    fit, run, *_ = results
    for result in results:
        assert not [name for name in dir(result) if name.startswith("_") and not name.startswith("__")]
        assert {"summary", "as_dict"} <= set(dir(result))
        assert all(hasattr(result, name) for name in dir(result))
    assert {"constant_response", "solution", "design", "source", "predictions"}.isdisjoint(dir(fit))
    assert {"params", "bse", "predict", "rsquared"} <= set(dir(fit))
    assert {"is_plain", "problem"}.isdisjoint(dir(run))
    assert {"params", "history", "plot", "theory"} <= set(dir(run))
    assert dir(sq.datasets) == ["cars"]
    assert {name for name in dir(sq.errors)} == {  # noqa: C416
        "DataError", "FormulaError", "IllConditionedError", "InputError", "MissingExtraError", "NumericalError", "OptionError",
        "ProcessError", "SquarelyError",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["Fit", "Training", "Sweep", "Certificate", "Preview"])
def test_help_begins_with_what_a_result_is(name):
    need("torch")
    lines = pydoc.render_doc(getattr(sq, name), renderer=pydoc.plaintext).splitlines()
    assert lines[2].startswith(f"class {name}(")
    assert "*," not in lines[3]
    assert lines[3] == f" |  {getattr(sq, name).__doc__.splitlines()[0]}"


def test_the_html_of_a_result_is_that_of_its_page(results):
    for result in results:
        page = result._repr_html_()
        assert page.count("<table") == result.summary()._repr_html_().count("<table")
        assert np.all([tag in page for tag in ("<h3>", "<table", "</div>")])


def test_a_notebook_shows_the_ends_of_a_long_table():
    n = 400
    levels = [f"level {i % 100:03}" for i in range(n)]
    fit = sq.ols("y ~ g", {"g": levels, "y": np.sin(np.arange(n))})
    html = fit._repr_html_()
    assert "... 40 more: print the summary" in html
    assert html.count('scope="row"') < 100
    assert "level 001" in html
    assert "level 050" not in html
    assert "level 099" in html
    for text in (str(fit.summary()), fit.summary()._repr_html_()):
        assert "level 050" in text
