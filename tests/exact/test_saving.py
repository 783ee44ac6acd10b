"""Fits on disk: they come back as they were, damaged files are refused, and no file of the user's is written over."""

import copy
import json
import os
import random
import threading

import numpy as np
import pytest

import squarely as sq
from squarely.errors import DataError
from tests.support.checks import CARS
from tests.support.damage import damage

FORMULAS = [
    "mpg ~ displacement",
    "log(mpg) ~ C(origin, Sum) * weight + poly(displacement, 2) + offset(I(model / 100))",
    "mpg ~ C(origin) / scale(weight) + bs(displacement, df=5) + ns(acceleration, knots=[14, 17]) + center(horsepower)",
    "mpg ~ . - name",
    "mpg ~ poly(weight, 6, raw=True) - 1",
    "mpg ~ name",
]


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_fit_comes_back_as_it_was(formula, tmp_path):
    path = tmp_path / "fit.json"
    fit = sq.ols(formula, CARS, where="weight > 1800 and origin in (1, 2, 3)")
    fit.save(path)
    back = sq.load(path)
    assert str(back.summary()).splitlines()[7:] == str(fit.summary()).splitlines()[7:]  # from below the time of day
    json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert json.dumps(back.as_dict(), default=str) == json.dumps(fit.as_dict(), default=str)
    cars = sq.datasets.cars()
    new = cars[(cars.weight > 1800) & cars.acceleration.between(*cars.acceleration[cars.weight > 1800].quantile([0, 1]))]
    np.testing.assert_array_equal(back.predict(new, unseen="nan"), fit.predict(new, unseen="nan"))
    with pytest.raises(DataError, match="a loaded or merged result does not have"):
        _ = back.resid


def test_notes_on_how_a_file_is_written_come_back(tmp_path):
    path = tmp_path / "comma.csv"
    path.write_text("x;y\n" + "".join(f"{i},5;{i * i},25\n" for i in range(9)))
    fit = sq.ols("y ~ x", path)
    fit.save(tmp_path / "fit.json")
    for one in (fit, sq.load(tmp_path / "fit.json")):
        assert "Read with decimal comma." in str(one.summary())


def test_files_without_the_key_zero_are_read(tmp_path):
    """Earlier versions said that a column is zero in a sentence alone."""
    path = tmp_path / "fit.json"
    fit = sq.ols("mpg ~ weight + I(weight - weight) + I(2 * weight)", CARS)
    fit.save(path)
    document = json.loads(path.read_text())
    assert document["factor"].pop("zero") == [True, False]
    path.write_text(json.dumps(document))
    assert sq.load(path).solution.factor.zeros == fit.solution.factor.zeros == (True, False)


def test_odd_names_come_back(tmp_path):
    X = np.random.default_rng(0).normal(size=(30, 3))
    names = ["a b`c", 'x"; drop table t; --', "\x1b[31mred"]
    data = dict(zip(names, X.T, strict=True))
    import pandas as pd

    fit = sq.ols(X=pd.DataFrame(data), y=X @ [1.0, 2, 3] + X[:, 0] ** 2)
    fit.save(tmp_path / "fit.json")
    assert sq.load(tmp_path / "fit.json").params.equals(fit.params)


WRONG = [None, True, -1, 0, "x", [], {}, [[1]], 10**400, "nan", [1, 2, 3], 1e308]


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_are_refused_or_harmless(seed, tmp_path):
    path, rng = tmp_path / "fit.json", random.Random(seed)  # noqa: S311  # which damage is done
    sq.ols("mpg ~ C(origin) * scale(weight) + poly(displacement, 2) + ns(acceleration, df=3)", CARS).save(path)
    whole, cars = json.loads(path.read_text()), sq.datasets.cars()
    refused = 0
    for _ in range(60):
        damaged = copy.deepcopy(whole)
        damage(damaged, rng, WRONG)
        path.write_text(json.dumps(damaged))
        try:
            with np.errstate(all="ignore"):  # numbers near 1e308 are numbers
                fit = sq.load(path)
                str(fit.summary()), fit.predict(cars, unseen="nan")
        except DataError:
            refused += 1
    assert refused >= 20  # the rest was damage that changes nothing of weight


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ('{"squarely": 1, "form', "may be incomplete"),
        ("[]", "is not a saved fit"),
        ('{"squarely": 4}', "has format 4, and this version reads 2 and 3. Update squarely"),
        ('{"squarely": 1}', "has format 1, and this version reads 2 and 3. Fit the data again and save that fit"),
        ('{"squarely": 2}', "damaged or was changed by hand"),
        ('{"squarely": {"a": [2]}}', "Update squarely"),
        ('{"squarely": NaN}', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_other_files_are_refused(text, message, tmp_path):
    path = tmp_path / "fit.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        sq.load(path)


def test_no_file_of_the_users_is_written_over(tmp_path):
    path = tmp_path / "data.csv"
    text = "x,y\n1,2\n2,4\n3,7\n4,8\n"
    path.write_text(text)
    fit = sq.ols("y ~ x", path)
    for write in (lambda: fit.save(path), lambda: fit.write_predictions(path, path)):
        with pytest.raises(DataError, match="is the file that the rows come from, and would be overwritten"):
            write()
    with pytest.raises(DataError, match=r"does not exist\. Create it"):
        fit.save(tmp_path / "nowhere" / "fit.json")
    assert path.read_text() == text
    assert [entry.name for entry in tmp_path.iterdir()] == ["data.csv"]


def test_predictions_go_to_files_in_order(tmp_path):
    import pandas as pd

    fit = sq.ols("mpg ~ horsepower", CARS)
    expected = fit.predict(CARS)
    assert expected.isna().sum() == 6
    for name, read in (("p.csv", pd.read_csv), ("p.parquet", pd.read_parquet), ("p.feather", pd.read_feather)):
        assert fit.write_predictions(CARS, tmp_path / name) == 398
        table = read(tmp_path / name)
        assert table["row"].tolist() == list(range(1, 399))
        np.testing.assert_array_equal(table["predicted"], expected)
    with pytest.raises(DataError, match="is not a format to write"):
        fit.write_predictions(CARS, tmp_path / "p.txt")


def test_eight_threads_that_save_one_path(tmp_path):
    fit, failed = sq.ols("mpg ~ displacement", CARS), []

    def save():
        try:
            for _ in range(10):
                fit.save(tmp_path / "fit.json")
        except DataError as error:
            failed.append(error)

    threads = [threading.Thread(target=save) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sq.load(tmp_path / "fit.json").params.equals(fit.params)
    assert [entry.name for entry in tmp_path.iterdir()] == ["fit.json"]


def test_homes_of_nobody():
    fit = sq.ols("mpg ~ displacement", CARS)
    for use in (lambda: sq.ols("y ~ x", "~nosuchuser/x.csv"), lambda: sq.load("~nosuchuser/x"), lambda: fit.save("~nosuchuser/x")):
        with pytest.raises(DataError, match="the name of an unknown user"):
            use()


def test_what_would_not_be_read_back_is_not_written(tmp_path, monkeypatch):
    path = tmp_path / "fit.json"
    path.write_text("old")
    fit = sq.ols("mpg ~ C(origin) + weight", CARS)
    monkeypatch.setattr("squarely.inference.serialization.serialize.MAX_SAVED_COLUMNS", 3)
    with pytest.raises(DataError, match=r"4 columns.*at most 3 are saved"):
        fit.save(path)
    monkeypatch.undo()
    monkeypatch.setattr("squarely.storage.disk._MAX_CHARACTERS", 100)
    with pytest.raises(DataError, match="the limit is 100"):
        fit.save(path)
    assert path.read_text() == "old"


def test_what_is_no_regular_file_is_not_replaced(tmp_path):
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    fit = sq.ols("mpg ~ weight", CARS)
    for write in (fit.save, lambda path: fit.write_predictions(CARS, path)):
        with pytest.raises(DataError, match="is not a regular file, and writing would replace it"):
            write(pipe)
    assert pipe.is_fifo()
