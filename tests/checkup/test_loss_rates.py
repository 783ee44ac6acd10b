"""What rates of losses prove is true: for random spectra, for cases that people have published, with momentum, and when rounded."""

import json

import numpy as np
import pytest

import squarely as sq
from squarely.errors import DataError, OptionError
from tests.cli.test_cli import run  # noqa: F401
from tests.support.checks import CARS, assert_close

# https://github.com/pytorch/pytorch/issues/23142, "Simple Linear Regression under PyTorch diverges": lr = 0.01.
ISSUE_23142 = """epoch: 0 loss: 36.44832992553711
epoch: 1 loss: 43.94552230834961
epoch: 2 loss: 53.461822509765625
epoch: 3 loss: 65.54042053222656
epoch: 4 loss: 80.87049865722656
epoch: 5 loss: 100.32696533203125
epoch: 6 loss: 125.01981353759766
epoch: 7 loss: 156.35780334472656
"""
# https://discuss.pytorch.org/t/208572: the loss ||A x - b||^2 from x = 0; 1.603e-5 converges and 1.604e-5 diverges.
FORUM_A, FORUM_B = np.array([[-2.4969e02, -4.1511e00], [-4.1511e00, -2.0755e-01]]), np.array([0.0, 10.0])
# https://github.com/pytorch/pytorch/issues/149827, "Why has my linear regression always been NaN?": lr = 0.001.
# The limit of these rows is 2 / 13876.96 = 1.441e-4.
ISSUE_149827 = {
    "age": [65.0, 70, 75, 80, 85, 90, 95, 100],
    "spending": [200.0, 250, 300, 350, 400, 450, 500, 550],
}


def test_the_eight_losses_of_an_issue_give_curvature_and_limit():
    result = sq.checkup_losses(ISSUE_23142, lr=0.01)
    assert [finding.key for finding in result.findings] == ["lr-too-high"]
    assert result.findings[0].confidence == "certain"
    assert_close(result.numbers["lam_1"], 212.65, rtol=1e-5)
    assert_close(result.numbers["lr_limit"], 0.0094, rtol=1e-3)
    assert_close(sq.checkup_losses(ISSUE_23142).numbers["lr_over_limit"], 0.01 * 212.65 / 2, rtol=1e-5)  # without lr


@pytest.mark.parametrize(("lr", "grows"), [(1.603e-5, False), (1.604e-5, True)])
def test_the_losses_of_a_forum_thread_show_on_which_side_of_the_limit_they_are(lr, grows):
    """The largest eigenvalue of 2 A'A is 2 / 1.60309e-5."""
    x, losses = np.zeros(2), []
    for step in range(60_001):
        residual = FORUM_A @ x - FORUM_B
        if step % 100 == 0:
            losses.append((step, float(residual @ residual)))
        x = x - lr * 2 * FORUM_A.T @ residual
    result = sq.checkup_losses(losses, lr=lr)
    assert (result.shape == "grows") == grows
    assert ("lr-too-high" in [finding.key for finding in result.findings]) == grows
    if grows:
        assert_close(result.numbers.get("lr_limit", result.numbers.get("lr_limit_most")), 1.60309e-5, rtol=1e-4)


def test_a_loss_that_is_nan_from_the_first_print_on_is_explained_by_the_data():
    lines = "".join(f"Epoch {epoch}/1000, Loss: nan\n" for epoch in range(100, 1001, 100))
    result = sq.checkup_losses(lines, lr=0.001, formula="spending ~ age", data=ISSUE_149827)
    assert [finding.key for finding in result.findings][:2] == ["not-standardised", "lr-too-high"]
    assert "largest stable lr is 0.0001441 for raw columns" in result.findings[0].evidence
    alone = sq.checkup_losses(lines)
    assert [finding.key for finding in alone.findings] == ["lr-too-high", "nan-loss"]


def curve(lam, c, lr, epochs, momentum=0.0):
    """The losses of descent in the eigenbasis from the error c, with a floor of 0.3."""
    v, losses = np.zeros(len(lam)), []
    for _ in range(epochs):
        losses.append(0.3 + 0.5 * lam @ c**2)
        v = momentum * v + lam * c
        c = c - lr * v
    return losses


@pytest.mark.parametrize("decimals", [4, 6, 12])
@pytest.mark.parametrize("seed", range(6))
def test_bounds_of_losses_that_fall_are_true(seed, decimals):
    rng = np.random.default_rng(seed)
    lam = np.sort(rng.uniform(0.2, 4.0, size=rng.integers(1, 6)))
    lr, epochs = float(rng.uniform(0.05, 0.9)) / lam[-1], 40
    c = rng.normal(size=len(lam))
    losses = curve(lam, c, lr, epochs)
    numbers = sq.checkup_losses([f"{loss:.{decimals}f}" for loss in losses], lr=lr).numbers
    assert numbers.get("lam_1_least", 0.0) <= lam[-1] * (1 + 1e-6)
    assert numbers.get("lam_p_most", np.inf) >= lam[0] * (1 - 1e-6)
    assert numbers.get("lr_limit_most", np.inf) >= 2 / lam[-1] * (1 - 1e-6) or "lam" in numbers
    assert numbers.get("excess_left", 0.0) <= losses[-1] - 0.3 + 1e-9
    if "lam" in numbers:
        assert lam[0] * 0.9 <= numbers["lam"] <= lam[-1] * 1.1
    if "epochs_to_go" in numbers:  # one epoch fewer is not enough for a thousandth of the floor
        later = curve(lam, c, lr, epochs + int(numbers["epochs_to_go"]) - 1)
        assert later[-1] - 0.3 >= 0.999e-3 * 0.3


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(4))
def test_losses_that_grow_give_the_largest_eigenvalue(seed, momentum):
    rng = np.random.default_rng(seed)
    lam = np.sort(rng.uniform(0.5, 3.0, size=3))
    limit = (2 + 2 * momentum) / lam[-1]
    losses = curve(lam, rng.normal(size=3), 1.1 * limit, 40, momentum)
    numbers = sq.checkup_losses([f"{loss:.6g}" for loss in losses], lr=1.1 * limit, momentum=momentum).numbers
    assert_close(numbers.get("lam_1", numbers.get("lam_1_least")), lam[-1], rtol=2e-3)
    assert_close(numbers.get("lr_limit", numbers.get("lr_limit_most")), limit, rtol=2e-3)


def test_one_regressor_shows_the_rate_of_the_tutorial():
    """H = 2 I: the loss falls by (1 - 2 lr)^2 = 0.9604 a step."""
    losses = [0.3533 + 0.8665 * 0.98 ** (2 * k) for k in range(0, 300, 10)]
    result = sq.checkup_losses({"epoch": range(0, 300, 10), "loss": losses}, lr=0.01)
    assert_close(result.numbers["rate"], 0.9604, rtol=1e-9)
    assert_close(result.numbers["lam"], 2.0, rtol=1e-9)
    assert_close(result.numbers["lr_best"], 0.5, rtol=1e-9)
    assert_close(result.numbers["lr_limit_most"], 1.0, rtol=1e-9)
    assert result.ok


def test_the_distance_from_the_minimum_is_in_standard_errors():
    """tau^2 = n (L - L*) / sigma^2; with a standardized response L* = 1 - R^2."""
    fit = sq.ols("mpg ~ displacement", CARS)
    least = 1.0 - fit.rsquared
    losses = [least + 0.8665 * 0.6 ** (2 * k) for k in range(8)]
    result = sq.checkup_losses(losses, formula="mpg ~ displacement", data=CARS)
    excess, sigma2 = losses[-1] - least, least * fit.nobs / fit.df_resid
    assert_close(result.numbers["minimum"], least, rtol=1e-9)
    assert_close(result.numbers["standard_errors"], np.sqrt(fit.nobs * excess / sigma2), rtol=1e-6)


def test_a_second_run_that_starts_where_the_first_ended_is_found():
    first = [f"epoch {k} loss {0.3 + 0.7**k:.4f}" for k in range(12)]
    again = [f"epoch {k} loss {0.3 + 0.7 ** (k + 12):.4f}" for k in range(12)]
    assert [finding.key for finding in sq.checkup_losses("\n".join(first + again)).findings] == ["state-carried-over"]
    fresh = sq.checkup_losses("\n".join(first + first))
    assert fresh.ok
    assert "has the first loss of the one before" in fresh.verified[0]


def test_too_few_losses_say_how_many_are_needed():
    result = sq.checkup_losses([1.0, 0.5])
    assert result.ok
    assert "Only 2 of the losses differ by more than rounding. Print at least 6 from the start on" in result.remarks[0]


def test_a_slow_fall_is_not_a_loss_that_repeats():
    """Each loss is within rounding of the one two steps before, and all of them are not."""
    losses = [f"{1.0 - 0.0001 * k:.4f}" for k in range(100)]
    assert "weights-never-move" not in [finding.key for finding in sq.checkup_losses(losses).findings]
    assert "weights-never-move" not in [finding.key for finding in sq.checkup_losses([-1, -2, -3, -4, -5, -6, -7]).findings]


def test_losses_of_a_fixed_order_that_repeat_are_found():
    assert sq.checkup_losses([1.25, 0.5, 0.75] * 5).findings[0].key == "weights-never-move"


def test_plain_losses_prove_nothing_of_the_curvature_with_momentum():
    losses = [0.3 + 0.9**k for k in range(30)]
    assert "lam_1_least" not in sq.checkup_losses(losses, lr=0.01, momentum=0.9).numbers


@pytest.mark.parametrize(
    "losses",
    [
        [1e300, 1e305, 1e307],
        [1e-300 * 0.5**k for k in range(10)],
        [2.0**-k for k in range(60)],
        [0.3 + 0.9**k for k in range(20_000)],
        [1, 2, 4, 8, float("inf")],
        [0.0] * 10,
    ],
    ids=["huge", "tiny", "to zero", "long", "infinite", "zero"],
)
def test_losses_of_any_size_and_length_are_examined(losses):
    assert str(sq.checkup_losses(losses, lr=0.01))


def test_losses_after_one_that_is_not_a_number_are_examined():
    result = sq.checkup_losses([1.0, 0.9, float("nan"), 0.8, 0.7, 0.6, 0.5])
    assert [finding.key for finding in result.findings] == ["nan-loss"]
    assert "finite ones follow" in result.findings[0].evidence


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"lr": 0}, "lr=0 is not a number above 0. Give that of the loop, or leave it out."),
        ({"lr": "fast"}, "lr='fast' is not a number above 0."),
        ({"lr": float("nan")}, "lr=nan is not a number above 0."),
        ({"momentum": 1.0}, "momentum=1.0 is not a number from 0 to below 1."),
        ({"tau": -1.0}, "tau=-1.0 is not a number above 0."),
        ({"lr": True}, "lr=True is not a number above 0."),
    ],
)
def test_options_that_cannot_be_are_refused(options, says):
    with pytest.raises(OptionError) as caught:
        sq.checkup_losses([2.0, 1.0], **options)
    assert says in str(caught.value)


def test_data_need_a_formula():
    with pytest.raises((DataError, sq.errors.InputError), match="There is no formula"):
        sq.checkup_losses([2.0, 1.0], data={"x": [1.0, 2.0], "y": [1.0, 3.0]})


def test_the_result_is_a_page_and_json():
    result = sq.checkup_losses(ISSUE_23142, lr=0.01)
    assert "lr-too-high (certain)" in str(result)
    assert "8 lines 'loss = ...' of the text" in str(result)
    assert "<table" in result._repr_html_()
    numbers = json.loads(json.dumps(result.as_dict()))
    assert numbers["findings"][0]["key"] == "lr-too-high"
    assert numbers["ok"] is False


def test_the_command_line_reads_a_file(run, tmp_path):  # noqa: F811
    path = tmp_path / "log.txt"
    path.write_text(ISSUE_23142)
    done = run("checkup", "--losses", str(path), "--lr", "0.01")
    assert done.returncode == 1
    assert "212.65" in done.out
    path.write_text("epoch,train_loss\n" + "".join(f"{k},{0.3 + 0.5**k:.6f}\n" for k in range(15)))
    done = run("checkup", "--losses", str(path), "--column", "train_loss", "--json")
    assert done.returncode == 0
    assert json.loads(done.out)["shape"] == "plateau"
    done = run("checkup", "--losses", str(path), "--column", "lose")
    assert done.returncode == 2
    assert "There is no 'lose' among the columns" in done.err


def test_large_multiples_of_the_rate_do_not_overflow(recwarn):
    losses = {"epoch": [50, 100, 150, 200, 250], "loss": [0.4682, 0.3685, 0.3553, 0.3535, 0.3533]}  # those of the tutorial
    checkup = sq.checkup_losses(losses, lr=0.01, formula="mpg ~ displacement", data=sq.datasets.cars())
    assert "The losses fall at the rates of lr=0.01 and standardized columns." in checkup.verified
    assert not recwarn
