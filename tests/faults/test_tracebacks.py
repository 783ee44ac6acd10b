"""The traceback of a user's mistake ends at the public function; those of other errors keep every frame."""

import traceback

import pytest

import squarely as sq
from squarely.errors import SquarelyError
from tests.support.checks import CARS, need


def fail(call):
    with pytest.raises(SquarelyError) as caught:
        call()
    return [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]


def test_a_mistake_shows_the_line_of_the_user(tmp_path):
    fit = sq.ols("mpg ~ weight", CARS)
    mistakes = [
        lambda: sq.ols("mpg ~ wieght", CARS),
        lambda: sq.preview("mpg ~ wieght", CARS),
        lambda: sq.load(tmp_path / "none.json"),
        lambda: sq.merge([]),
        lambda: fit.predict({"wieght": [1.0]}),
        lambda: fit.write_predictions({"wieght": [1.0]}, tmp_path / "p.csv"),
        lambda: fit.conf_int(2),
        lambda: fit.save(tmp_path / "none" / "fit.json"),
    ]
    for call in mistakes:
        assert fail(call) == ["fail", "<lambda>", "run"]


def test_training_too():
    need("torch")
    fit, run = sq.ols("mpg ~ weight", CARS), sq.train("mpg ~ weight", CARS, epochs=1)
    for call in (
        lambda: sq.train("mpg ~ weight", CARS, lr=-1),
        lambda: sq.sweep("mpg ~ weight", CARS, lr=-1),
        lambda: sq.certify(fit, run, tau=0),
        lambda: sq.certify("mpg ~ wieght", CARS),
        lambda: run.predict({"wieght": [1.0]}),
    ):
        assert fail(call) == ["fail", "<lambda>", "run"]


def test_all_frames_on_request(monkeypatch):
    monkeypatch.setenv("SQUARELY_TRACEBACK", "1")
    assert len(fail(lambda: sq.ols("mpg ~ wieght", CARS))) > 4


def test_other_errors_keep_their_frames(monkeypatch):
    from squarely.api import least_squares

    def broken(*args, **options):
        raise ZeroDivisionError

    monkeypatch.setattr(least_squares, "solve_least_squares", broken)
    with pytest.raises(ZeroDivisionError) as caught:
        sq.ols("mpg ~ weight", CARS)
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "broken"
