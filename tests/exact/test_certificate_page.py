"""The page of a certificate: the verdict leads, and a sentence explains the gap that remains."""

import re
from dataclasses import replace

import numpy as np
import pytest

import squarely as sq
from tests.support.checks import need

torch = need("torch")
CARS = sq.datasets.cars()
FORMULA = "mpg ~ displacement"


@pytest.fixture(scope="module")
def fit():
    return sq.ols(FORMULA, CARS)


def certify(fit, **options):
    return sq.certify(fit, sq.train(FORMULA, CARS, **options))


def test_the_verdict_stands_first_on_every_page(fit):
    certificate = certify(fit, lr=0.01, epochs=100)
    title, first, *_ = repr(certificate).splitlines()
    assert title.strip() == "Certificate"
    assert first.startswith("Verdict: not converged. The largest gap is ")
    assert str(certificate.summary()) == repr(certificate)
    html = certificate._repr_html_()
    assert html.index("Verdict: not converged") < html.index("<table")
    assert html.count("Verdict:") == repr(certificate).count("Verdict:") == 1


def test_the_rest_of_a_gap_is_rounding_only_if_rounding_reaches_so_far(fit):
    run = sq.train(FORMULA, CARS, lr=0.01, epochs=1000)
    cause = sq.certify(fit, run).cause
    assert re.search(r"Theory predicts a gap of 4\.5e-08; the rest is rounding of float32, which can reach [\d.e-]+ here\.$", cause)
    moved = replace(run, result=replace(run.result, end=run.result.end + 1e-4))  # 0.003 standard errors: it still agrees
    certificate = sq.certify(fit, moved)
    assert certificate.agree
    assert "nothing known explains the rest" in certificate.cause
    moved = replace(run, result=replace(run.result, end=run.result.end + 1e-2))
    assert sq.certify(fit, moved).verdict == "disagree"  # float32 does not excuse it


@pytest.mark.parametrize("options", [{"lr": 0.01}, {"lr": 0.3}, {"lr": 0.95}, {"lr": 0.1, "momentum": 0.9}])
def test_rounding_stays_below_its_estimate(fit, options):
    """The loop of torch in float32 and in float64 from one start: their difference is rounding, and the estimate is not vague."""
    certificate = certify(fit, epochs=1000, **options)
    x, y = (CARS[name].to_numpy(float) for name in ("displacement", "mpg"))
    table = np.column_stack([(v - v.mean()) / v.std() for v in (x, y)])
    ends = []
    for dtype in (torch.float32, torch.float64):
        inputs, labels = torch.tensor(table, dtype=dtype).split(1, dim=1)
        torch.manual_seed(1)
        model = torch.nn.Linear(1, 1).to(dtype)
        optimizer = torch.optim.SGD(model.parameters(), **options)
        for _ in range(1000):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(model(inputs), labels).backward()
            optimizer.step()
        slope = model.weight.item() * y.std() / x.std()
        ends.append(np.array([y.mean() + y.std() * model.bias.item() - slope * x.mean(), slope]))
    rounding = np.abs((ends[0] - ends[1]) / fit.bse).max()
    assert 0 < rounding < certificate.rounding_gap
    assert np.abs(certificate.gap_se - certificate.predicted_gap / certificate.bse).max() < certificate.rounding_gap < 0.01


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lr": 0.01, "dtype": "float64"}, "Theory predicts this gap for these epochs."),
        ({"lr": 0.5}, "Theory predicts no gap; the rest is rounding of float32"),
        ({"optimizer": "adam", "lr": 0.01, "epochs": 1500}, "explain"),
        (
            {"batch_size": 128, "lr": 1e-5, "start": [0.0, -0.8045], "epochs": 3},
            "From the noise of its batches theory expects about",
        ),
    ],
)
def test_other_gaps_are_explained_too(fit, options, words):
    certificate = sq.certify(fit, sq.train(FORMULA, CARS, **{"epochs": 1000, **options}), tau=0.5)
    assert certificate.agree
    assert words in certificate.cause


def test_the_estimate_is_a_number_on_the_page_and_in_json(fit):
    certificate = certify(fit, lr=0.5, epochs=20)
    assert f"Rounding, float32:    {certificate.rounding_gap:.2e} std err" in repr(certificate)
    assert certificate.as_dict()["rounding_gap"] == certificate.rounding_gap
    other = sq.certify(fit, sq.train(FORMULA, CARS[1:], epochs=3))
    assert "Rounding" not in repr(other)  # what is not known has no line
    assert other.as_dict()["rounding_gap"] is None


def test_a_page_is_short(fit):
    """The verdict, the table and at most four lines: what explains a small gap is in `cause`, and a number for each."""
    certificate = certify(fit, lr=0.5, epochs=20)
    page = repr(certificate).splitlines()
    rules = [i for i, line in enumerate(page) if line.startswith("===")]
    assert len(rules) == 3
    assert rules[0] <= 3
    assert rules[2] - rules[1] <= 5
    assert "Theory predicts" in certificate.cause
    assert "Theory predicts" not in repr(certificate)
    assert "Evidence" not in repr(certificate)
    weak = repr(certify(fit, lr=0.5, epochs=20, engine="moments"))
    assert "weaker: cross-products" in weak  # that of a run on rows is the usual one


def test_a_closed_form_has_the_rounding_of_float64(fit):
    assert certify(fit, lr=0.01, epochs=1000, engine="closed_form").dtype == "float64"


def test_a_gap_that_nothing_explains_is_not_called_rounding(fit):
    certificate = certify(fit, optimizer="rmsprop", lr=1e-4, epochs=3, start=[1e-4, -0.8045])
    assert certificate.agree
    assert certificate.cause.endswith("the cause is not known.")


@pytest.mark.diverges
def test_a_run_that_left_all_numbers_still_has_a_certificate(fit):
    for lr in (1e10, 1e300):
        assert certify(fit, lr=lr, epochs=50, dtype="float64").verdict in {"diverged", "not finite"}


def test_the_advice_for_a_run_that_is_too_short_is_one_sentence(fit):
    cause = certify(fit, lr=0.0001, epochs=1000, dtype="float64").cause
    assert re.search(r"Train [\d,]+ more epochs at lr=0\.0001, or start over with lr=0\.5: 1 epoch is enough\.$", cause)
