"""A run that is saved and loaded: the same numbers and sentences, without rows; and files that are not what was written."""

import copy
import json
import math

import numpy as np
import pytest

import squarely as sq
from tests.support.checks import CARS, need

torch = need("torch")
ROWS = sq.datasets.cars()
FORMULA = "mpg ~ displacement + bs(weight, df=4) + C(origin)"
RUNS = {
    "default": {},
    "slow": {"lr": 0.01, "epochs": 30},
    "scheduler": {"optimizer": "adamw", "optimizer_options": {"betas": (0.8, 0.9)}, "scheduler": "StepLR",
                  "scheduler_options": {"step_size": 30}, "epochs": 90},
    "batches": {"batch_size": 50, "epochs": 10, "metrics": ["r2", "mae"]},
    "average": {"average": True, "batch_size": 30, "epochs": 10},
    "huber": {"loss": "huber", "epochs": 50},
    "diverged": {"lr": 3.0},
    "closed form": {"engine": "closed_form", "epochs": 40, "momentum": 0.5},
    "early stop": {"stop": "validation", "validation": 0.3, "lr": 0.3, "epochs": 200},
    "distance": {"stop": "0.1 se"},
    "own optimizer": {"optimizer": lambda parts: torch.optim.SGD(parts, lr=0.1), "epochs": 50},
}  # fmt: skip


@pytest.fixture(scope="module")
def fit():
    return sq.ols(FORMULA, ROWS)


@pytest.mark.diverges
@pytest.mark.parametrize("name", RUNS)
def test_a_loaded_run_has_every_number_and_sentence(name, fit, tmp_path):
    run = sq.train(FORMULA, ROWS, **RUNS[name])
    run.save(tmp_path / "run.json")
    back = sq.load(tmp_path / "run.json")
    assert isinstance(back, sq.Training)
    assert str(back.summary()) == str(run.summary())
    assert repr(back) == repr(run)
    assert json.dumps(back.as_dict()) == json.dumps(run.as_dict())
    assert back.history.equals(run.history)
    assert back.params.equals(run.params)
    assert back.distance_se == run.distance_se
    if not run.has_failed:
        assert np.array_equal(back.predict(ROWS), run.predict(ROWS))
        w = np.concatenate([part.detach().numpy().ravel() for part in (back.model.linear.bias, back.model.linear.weight)])
        assert np.array_equal(w, run.result.end.astype(w.dtype))
    if "validation" not in RUNS[name]:
        before, after = sq.certify(fit, run), sq.certify(fit, back)
        assert (after.verdict, after.cause) == (before.verdict, before.cause)
    back.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == (tmp_path / "run.json").read_text()


def test_a_loaded_run_is_certified_against_a_loaded_fit(fit, tmp_path):
    fit.save(tmp_path / "fit.json")
    for name, verdict in (("default", "agree"), ("slow", "not converged")):
        sq.train(FORMULA, ROWS, **RUNS[name]).save(tmp_path / name)
        certificate = sq.certify(sq.load(tmp_path / "fit.json"), sq.load(tmp_path / name))
        assert certificate.verdict == verdict
        assert certificate.same_rows
        assert certificate.as_dict()["gradient_on"] == "moments"
        if name == "default":  # the other one has no finite bound
            assert "Gap at most, on moments:" in str(certificate)
    certificate = sq.certify(sq.load(tmp_path / "fit.json"), sq.train(FORMULA, ROWS))  # the rows are those of the run
    assert (certificate.verdict, certificate.as_dict()["gradient_on"]) == ("agree", "rows")


def test_the_script_is_saved(tmp_path):
    run = sq.train("mpg ~ weight", CARS, epochs=3)
    run.save(tmp_path / "run.json")
    back = sq.load(tmp_path / "run.json")
    assert back.code() == run.code()
    with pytest.raises(sq.errors.OptionError, match="Change the path in it"):
        back.code(data="other.csv")
    own = sq.train("mpg ~ weight", CARS, epochs=3, optimizer=lambda parts: torch.optim.SGD(parts, lr=0.1))
    own.save(tmp_path / "own.json")
    with pytest.raises(sq.errors.OptionError, match="saved without a script"):
        sq.load(tmp_path / "own.json").code()


def test_your_own_module_and_loader(tmp_path):
    torch.manual_seed(0)
    X, y = torch.randn(60, 2), torch.randn(60, 1)
    run = sq.train(model=torch.nn.Linear(2, 1), loader=[(X[:30], y[:30]), (X[30:], y[30:])], epochs=4)
    run.save(tmp_path / "run.json")
    back = sq.load(tmp_path / "run.json")
    assert str(back.summary()) == str(run.summary())
    new = {"x1": [0.5], "x2": [-1.0]}
    assert np.array_equal(back.predict(new), run.predict(new))


def test_a_folder_of_checkpoints_loads_once_its_run_has_ended(tmp_path):
    class StopError(Exception):
        pass

    def fail(epoch):
        if epoch.epoch == 5:
            raise StopError

    folder = tmp_path / "run"
    options = {"checkpoint": folder, "checkpoint_every": "1 epochs", "lr": 0.01}
    with pytest.raises(StopError):
        sq.train(FORMULA, ROWS, epochs=8, callbacks=fail, **options)
    with pytest.raises(sq.errors.DataError, match=r"has not ended\. Continue it with resume="):
        sq.load(folder)
    whole = sq.train(FORMULA, ROWS, epochs=8, checkpoint=tmp_path / "whole", lr=0.01)
    assert sq.load(tmp_path / "whole").params.equals(whole.params)
    assert sq.load(str(tmp_path / "whole")).result.losses.tobytes() == whole.result.losses.tobytes()


def test_a_run_that_goes_on_is_not_the_saved_one(tmp_path):
    sq.train(FORMULA, ROWS, epochs=4, checkpoint=tmp_path, lr=0.01)
    saved = (tmp_path / "run.json").read_text()
    sq.train(FORMULA, ROWS, epochs=9, checkpoint=tmp_path, resume=True)
    assert len(sq.load(tmp_path).history) == 10
    (tmp_path / "run.json").write_text(saved)  # as if the longer run were still training
    with pytest.raises(sq.errors.DataError, match="has gone on after it was saved"):
        sq.load(tmp_path)


def test_save_and_load_name_what_is_wrong(tmp_path):
    with pytest.raises(sq.errors.DataError, match="has no saved run"):
        sq.load(tmp_path)
    with pytest.raises(sq.errors.DataError, match="does not exist"):
        sq.load(tmp_path / "nowhere.json")
    sq.train("mpg ~ weight", ROWS, epochs=2).save(tmp_path)
    assert (tmp_path / "run.json").is_file()
    with pytest.raises(sq.errors.InputError):
        sq.merge([sq.load(tmp_path)])


# --- files that are not what was written ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "run.json"
    sq.train("mpg ~ weight + C(origin)", ROWS, epochs=3, batch_size=100, metrics="r2", validation=0.2).save(path)
    return json.loads(path.read_text())


def paths_in(value, path=()):
    """Yield the path of every value inside a JSON document, of lists only the first and last item."""
    yield path
    keys = list(value) if isinstance(value, dict) else sorted({0, len(value) - 1}) if isinstance(value, list) and value else []
    for key in keys:
        yield from paths_in(value[key], (*path, key))


def test_a_changed_file_is_an_error_or_a_run(document, tmp_path):
    """Replace each value by others: nothing but a DataError comes, and what loads can be used."""
    file, tried, refused = tmp_path / "run.json", 0, 0
    for path in list(paths_in(document))[1:]:
        for value in (None, "x", -1, 10**30, [], {}, "nan", True):
            changed = copy.deepcopy(document)
            part = changed
            for key in path[:-1]:
                part = part[key]
            if part[path[-1]] == value:
                continue
            part[path[-1]] = value
            file.write_text(json.dumps(changed))
            tried += 1
            try:
                run = sq.load(file)
            except sq.errors.DataError:
                refused += 1
                continue
            assert len(run.history) == 4
            str(run.summary())
            repr(run)
    assert refused > 0.6 * tried


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"squarely run": 1}',
        '{"squarely run": 2}',
        '{"squarely run": 1, "x": NaN}',
        '{"squarely run"' + "[" * 100_000,
    ],
)
def test_other_texts_are_refused(text, tmp_path):
    file = tmp_path / "run.json"
    file.write_text(text)
    with pytest.raises(sq.errors.DataError):
        sq.load(file)


def test_a_part_of_the_file_is_refused(document, tmp_path):
    text = json.dumps(document)
    for share in (0.1, 0.5, 0.999):
        (tmp_path / "run.json").write_text(text[: math.floor(share * len(text))])
        with pytest.raises(sq.errors.DataError):
            sq.load(tmp_path / "run.json")
