"""A split holds some rows out: the same ones in every form of data and every scan; each row is in one part and keeps its name."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import squarely as sq
from squarely.data import RowAccount, iter_batches, listen, open_source, split_source
from squarely.data.views import split as page
from squarely.design import LinearPredictor, iter_predictions, learn_from_rows, parse_formula
from squarely.errors import DataError, OptionError
from tests.support.checks import CARS, FORMS, assert_close, hand_over, need

N = 1_000  # several row groups of the Parquet file
FORMULA = "y ~ x + g"


def columns():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal(N), rng.standard_normal(N)
    gaps = np.arange(N) % 97 == 5
    return {"row": np.arange(N), "x": x, "y": pa.array(y, mask=gaps), "g": np.array(["ant", "bee", "cat"])[rng.integers(0, 3, N)]}


def found(source, name="row"):
    return np.concatenate([batch.numbers[name].values for batch in iter_batches(source, [name])])


def account(source):
    accounts = [batch.count_gaps(["x", "y"], ["g"]) for batch in iter_batches(source, ["x", "y"], ["g"])]
    return sum(accounts, RowAccount())


@pytest.mark.parametrize("form", FORMS)
def test_each_row_is_in_one_part_and_every_form_gives_the_same_split(form, tmp_path):
    whole = open_source(hand_over(form, columns(), tmp_path))
    parts = training, validation = split_source(whole, 0.2, seed=7)
    rows = [found(part) for part in parts]
    assert [len(r) for r in rows] == [part.rows for part in parts] == [800, 200]
    assert all((np.diff(r) > 0).all() for r in rows)  # in the order of the whole
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(N))
    reference = split_source(open_source({"row": np.arange(N)}), 0.2, seed=7)
    for part, same, seen in zip(parts, reference, rows, strict=True):
        np.testing.assert_array_equal(found(part), seen)  # in another scan
        np.testing.assert_array_equal(found(same), seen)  # in another form
    assert account(training) + account(validation) == account(whole)
    assert account(validation).used < 200  # gaps came along
    assert (training.label, validation.label) == (f"the training rows of {whole.label}", f"the validation rows of {whole.label}")


@pytest.mark.parametrize("form", FORMS)
def test_a_fit_to_a_part_is_the_fit_to_its_rows(form, tmp_path):
    data = columns()
    part = split_source(open_source(hand_over(form, data, tmp_path)), 0.25, seed=1)[1]
    rows = found(part).astype(int)
    frame = pa.table(data).to_pandas().iloc[rows]
    fit, alone = sq.ols(FORMULA, part), sq.ols(FORMULA, frame)
    assert_close(fit.params, alone.params, rtol=1e-12)
    assert_close(fit.durbin_watson, alone.durbin_watson, rtol=1e-12)
    assert_close(fit.resid, alone.resid, rtol=1e-9, atol=1e-12)
    assert list(fit.resid.index) == list(alone.resid.index)  # the numbers of the rows in the whole
    predicted = fit.predict(part)
    whole = open_source(hand_over(form, data, tmp_path)).column(np.zeros(N), "predicted")
    assert type(predicted) is type(whole)
    assert_close(predicted, alone.predict(frame), rtol=1e-9, atol=1e-12)


def test_rows_keep_the_labels_of_a_frame():
    frame = pd.DataFrame({"x": np.arange(8.0), "y": [1.0, 3, 2, 5, 4, 6, 8, 7]}, index=list("abcdefgh"))
    part = split_source(open_source(frame), 0.5, seed=0)[0]
    names = [frame.index[int(x)] for x in found(part, "x")]
    fit = sq.ols("y ~ x", part)
    assert list(fit.resid.index) == list(fit.predict(part).index) == names
    inner = split_source(part, 0.5, seed=1)[1]  # a split of a split
    assert list(inner.index(np.arange(2))) == [frame.index[int(x)] for x in found(inner, "x")]
    assert [inner.row_number(i) for i in range(2)] == [int(x) + 1 for x in found(inner, "x")]


@pytest.mark.parametrize(("rows", "share", "held_out"), [(96, 0.2, 20), (10, 0.25, 3), (2, 0.01, 1), (5, 0.8, 4), (3, 0.5, 2)])
def test_the_number_of_rows_is_that_of_scikit_learn(rows, share, held_out):
    # train_test_split(range(rows), test_size=share), scikit-learn 1.9: its documentation says ceil for the test rows.
    training, validation = split_source(open_source({"x": np.arange(rows)}), share, seed=0)
    assert (training.rows, validation.rows) == (rows - held_out, held_out)


def test_another_seed_is_another_split_and_a_negative_or_numpy_one_is_fine():
    source = open_source({"row": np.arange(N)})
    rows = {seed: tuple(found(split_source(source, 0.2, seed)[1])) for seed in (0, 1, -1, 2**64 - 2)}
    assert len(set(rows.values())) == 4
    assert tuple(found(split_source(source, 0.2, np.int64(1))[1])) == rows[1]


def test_every_row_and_every_pair_is_equally_likely():
    n, k, times = 10, 3, 4_000
    masks = np.array([page.draw(n, k, seed).mask(0, n) for seed in range(times)], dtype=float)
    together = masks.T @ masks / times
    one, two = k / n, k * (k - 1) / (n * (n - 1))  # drawn without replacement
    expected = np.where(np.eye(n, dtype=bool), one, two)
    assert (np.abs(together - expected) < 5 * np.sqrt(expected * (1 - expected) / times)).all()


@pytest.mark.parametrize(("rows", "held_out"), [(100, 1), (100, 37), (129, 128), (131, 5), (64, 32), (17, 16)])
def test_blocks_add_up_and_positions_are_those_of_the_mask(rows, held_out, monkeypatch):
    monkeypatch.setattr(page, "_BLOCK", 16)
    drawn = page.draw(rows, held_out, seed=5)
    for held, count in ((True, held_out), (False, rows - held_out)):
        side = replace(drawn, is_validation=held)
        places = np.flatnonzero(side.mask(0, rows))
        assert len(places) == side.count_before(rows) == count
        pieces = [side.mask(i, min(i + 7, rows)) for i in range(0, rows, 7)]
        np.testing.assert_array_equal(np.flatnonzero(np.concatenate(pieces)), places)
        asked = np.random.default_rng(0).integers(0, count, 50)  # in any order, and more than once
        np.testing.assert_array_equal(side.positions(asked), places[asked])
    in_block = np.add.reduceat(drawn.mask(0, rows), np.arange(0, rows, 16))
    sizes = np.diff([*range(0, rows, 16), rows])
    assert (np.abs(in_block - sizes * held_out / rows) <= 1).all()  # each block gives its part


def test_a_bit_a_row_beyond_one_block():
    rows = 2**20 + 12_345
    drawn = page.draw(rows, rows // 10, seed=2)
    assert drawn.bits.nbytes == -(-rows // 8)
    assert drawn.count_before(rows) == drawn.validation_rows == rows // 10
    last = drawn.positions(np.array([rows // 10 - 1]))[0]
    assert drawn.mask(last, rows).tolist() == [True] + [False] * (rows - last - 1)


def test_the_count_of_unknown_rows_is_a_scan_that_is_reported():
    seen = []
    with listen(seen.append):
        parts = split_source(open_source(CARS), 0.2, seed=0)
    assert [(s.purpose, s.count) for s in seen if s.is_over] == [("number of rows", sum(part.rows for part in parts))]
    seen.clear()
    with listen(seen.append):
        split_source(open_source({"x": [1.0, 2.0]}), 0.5, seed=0)
    assert not seen


@pytest.mark.parametrize(
    ("share", "says"),
    [
        (1.0, "validation=1.0 leaves no row to train on. Give a number between 0 and 1"),
        (3, "validation=3.0 leaves no row to train on"),
        (0.0, "validation=0.0 leaves no row to validate with"),
        (-0.2, "validation=-0.2 leaves no row to validate with"),
        (float("nan"), "validation=nan is not a fraction of the rows"),
        (float("inf"), "validation=inf is not a fraction of the rows"),
        (True, "validation=True is of type bool, not a fraction"),
        ("0.2", "validation='0.2' is of type str, not a fraction"),
        (0.99, "validation=0.99 of the 4 rows of the dict of arrays leaves no row to train on"),
    ],
)
def test_shares_that_make_no_sense(share, says):
    with pytest.raises(OptionError, match=says):
        split_source(open_source({"x": [1.0, 2, 3, 4]}), share, seed=0)


@pytest.mark.parametrize(("values", "says"), [([1.0], "has 1 row, and"), ([], "has 0 rows, and")])
def test_too_few_rows(values, says):
    with pytest.raises(DataError, match=says):
        split_source(open_source({"x": values}), 0.5, seed=0)


def test_rows_that_come_or_go_after_the_split():
    data = {"x": [1.0, 2, 3, 4]}
    part = split_source(open_source(data), 0.5, seed=0)[0]
    data["x"].append(5.0)
    with pytest.raises(DataError, match="changed since it was first read: 4 rows then, more now"):
        found(part, "x")
    del data["x"][2:]
    with pytest.raises(DataError, match="changed since it was first read: 4 rows then, 2 now"):
        found(part, "x")


@pytest.mark.parametrize("form", ["dict", "csv", "parquet"])
def test_a_level_that_only_the_validation_rows_have(form, tmp_path):
    data = {**columns(), "y": np.arange(N, dtype=float)}
    odd = int(found(split_source(open_source(data), 0.2, seed=7)[1])[11])
    data["g"] = data["g"].astype("<U5")
    data["g"][odd] = "zebra"
    training, validation = split_source(open_source(hand_over(form, data, tmp_path)), 0.2, seed=7)
    fit = sq.ols(FORMULA, training)
    says = f"'g' of {validation.label} has 'zebra' in data row {odd + 1:,}, but the fit has no such level"
    with pytest.raises(DataError, match=says):
        fit.predict(validation)
    assert np.flatnonzero(np.isnan(np.asarray(fit.predict(validation, unseen="nan")))).tolist() == [11]
    design = learn_from_rows(parse_formula(FORMULA), training)
    kept, slopes = range(len(design.columns)), np.zeros(len(design.columns))
    with pytest.raises(DataError, match=says):
        list(iter_predictions(LinearPredictor(design=design, selected=kept, level=0.0, slopes=slopes, center=slopes), validation))


@pytest.mark.parametrize("form", ["arrow", "csv", "jsonl"])
def test_a_value_that_is_no_number_is_named_by_its_row_in_the_whole(form, tmp_path):
    x = [str(i) for i in range(200)]
    place = int(found(split_source(open_source({"row": np.arange(200)}), 0.5, seed=3)[0])[40])
    x[place] = "oops"
    data = {"x": x, "y": list(range(200)), "row": list(range(200))}
    training, validation = split_source(open_source(hand_over(form, data, tmp_path)), 0.5, seed=3)
    for source, formula in ((training, "x ~ y"), (training, "y ~ x"), (training, "y ~ x - 1")):
        with pytest.raises(DataError, match=f"'oops' in data row {place + 1}"):
            sq.ols(formula, source)
    if form != "csv":  # a CSV file is a column of text for all its rows
        with pytest.raises(DataError, match=r"text, not (as )?numbers|stored as text"):
            sq.ols("y ~ x", validation)


def test_what_a_source_says_of_its_columns_is_passed_on(tmp_path):
    kinds = pd.Categorical(["low", "high"] * 10, categories=["low", "mid", "high"], ordered=True)
    frame = pd.DataFrame({"g": kinds, "x": np.arange(20.0), "flag": [True, False] * 10, "y": np.arange(20.0) ** 2})
    for part in split_source(open_source(frame), 0.3, seed=0):
        assert part.category_order("g") == ("low", "mid", "high")
        assert [part.kind(name) for name in ("g", "x", "flag")] == ["text", "number", "boolean"]
        assert part.columns == open_source(frame).columns
        assert (part.typed, part.is_file, part.pandas_call, part.engine) == (True, False, None, None)
        assert sq.ols("y ~ g + x", part).params.index.tolist() == ["Intercept", "g[T.high]", "x"]
    path = tmp_path / "comma.csv"
    path.write_text("x;y;y\n1,5;2;1\n2,5;3;1\n4,5;3;1\n")
    part = split_source(open_source(path), 0.3, seed=0)[0]
    assert (part.typed, part.is_file, part.notes, part.duplicate_names) == (False, True, ("decimal comma",), frozenset({"y"}))
    with pytest.raises(DataError, match=r"no column 'z' in the training rows of comma\.csv"):
        sq.ols("x ~ z", part)


def test_training_on_a_part():
    need("torch")
    training, validation = split_source(open_source(CARS), 0.2, seed=0)
    run = sq.train("mpg ~ displacement", training, lr=0.5, epochs=2, dtype="float64")
    assert_close(run.params, sq.ols("mpg ~ displacement", training).params, rtol=1e-10)
    assert len(run.predict(validation)) == validation.rows


def gappy():
    """Give 398 rows of which 6 have a gap in x."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"x": rng.normal(size=398)})
    frame["y"] = frame["x"] + rng.normal(size=398)
    frame.loc[[3, 50, 100, 200, 300, 350], "x"] = np.nan
    return frame


@pytest.mark.parametrize("options", [{}, {"stream": True}, {"engine": "moments"}, {"dtype": "float64", "batch_size": 64}])
def test_every_row_is_accounted_for_whether_it_trains_or_validates(options):
    """Expected: 398 rows, ceil(0.2 * 398) = 80 of them held out, 6 gaps."""
    run = sq.train("y ~ x", gappy(), epochs=2, validation=0.2, **options)
    train, kept = run.rows, run.validation_rows
    assert (train.read, kept.read) == (318, 80)
    gaps = [account.dropped["x"]["nan"] for account in (train, kept)]
    assert sum(gaps) == 6
    assert min(gaps) > 0
    assert (train.used, kept.used) == (318 - gaps[0], 80 - gaps[1])
    message = " ".join(str(run.summary()).split())
    assert "Rows: 398 rows read: 318 to train, 80 to validate." in message
    assert f"To train: 318 rows read, {train.used} used. Rows dropped for x: {gaps[0]} nan." in message
    assert f"To validate: 80 rows read, {kept.used} used. Rows dropped for x: {gaps[1]} nan." in message
    assert run.as_dict()["validation_rows"] == kept.as_dict()
    certificate = sq.certify(sq.ols("y ~ x", gappy()), run)
    assert certificate.as_dict()["validation_rows"] == kept.as_dict()
    assert f"Validation rows: 80 rows read, {kept.used} used." in " ".join(str(certificate.summary()).split())


def test_rows_of_another_source_are_accounted_for_and_a_run_without_them_has_none():
    run = sq.train("y ~ x", gappy(), epochs=2, validation=gappy()[:60], where="y > -100")
    assert (run.rows.read, run.validation_rows.read, run.validation_rows.used) == (398, 60, 58)
    message = " ".join(str(run.summary()).split())
    assert "To train: 398 rows read, 392 used. Rows dropped for x: 6 nan." in message
    assert "To validate, from the data frame: 60 rows read, 58 used. Rows dropped for x: 2 nan." in message
    assert sq.train("y ~ x", gappy(), epochs=2).validation_rows is None
    filtered = sq.train("y ~ x", gappy(), epochs=2, validation=0.2, where="y > 0")
    whole = filtered.rows + filtered.validation_rows
    assert (whole.read, whole.filtered) == (398, int((gappy()["y"] <= 0).sum()))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_sweep_accounts_for_both(optimizer):
    swept = sq.sweep("y ~ x", gappy(), lr=[0.1, 0.2], epochs=2, validation=0.2, optimizer=optimizer)
    assert "398 rows read: 318 to train, 80 to validate." in " ".join(str(swept.summary()).split())
    assert {run.validation_rows.read for run in swept.runs} == {80}


def test_gaps_among_the_validation_rows_are_refused_on_request():
    with pytest.raises(DataError, match=r"missing='raise' refuses them. 398 rows read, 392 used"):
        sq.train("y ~ x", gappy().dropna(), epochs=2, validation=gappy(), missing="raise")
    assert sq.train("y ~ x", gappy().dropna(), epochs=2, validation=0.2, missing="raise").validation_rows.used == 79
