"""Mistakes are named from printed losses alone, and right loops are not accused."""

from collections import Counter

import pytest

import squarely as sq
from tests.support.checks import need

need("torch")

from tests.support.printed_losses import make_rows, print_losses

# What the loop does -> keys of which one must be the first or second finding.
BROKEN = [
    ("no-zero-grad", {"mistake": "no-zero-grad"}),
    ("no-zero-grad", {"mistake": "no-zero-grad", "lr": 0.03, "epochs": 40}),
    ("no-zero-grad", {"mistake": "no-zero-grad", "lr": 0.01, "batch": 17}),
    ("no-zero-grad", {"mistake": "no-zero-grad", "batch": 17}),
    ("stale-gradient", {"mistake": "stale-gradient"}),
    ("stale-gradient", {"mistake": "stale-gradient", "lr": 0.3, "epochs": 40}),
    ("stale-gradient", {"mistake": "stale sums"}),
    ("weights-never-move", {"mistake": "step-before-backward"}),
    ("weights-never-move", {"mistake": "zero-grad-before-step", "batch": 17}),
    ("weights-never-move", {"mistake": "optimizer-of-another-model"}),
    ("lr-too-high", {"lr": 1.1}),
    ("lr-too-high", {"lr": 2.0}),
    ("lr-too-high", {"lr": 1.5, "batch": 17}),
    ("lr-too-low", {"lr": 0.0005}),
    ("lr-too-low", {"lr": 0.0001, "batch": 17}),
    ("shape-broadcast", {"mistake": "shape-broadcast"}),
    ("shape-broadcast", {"mistake": "shape-broadcast", "batch": 17}),
    ("sum-for-mean", {"mistake": "sum-for-mean"}),
    ("sum-for-mean", {"mistake": "sum-for-mean", "batch": 17}),
    ("not-standardised", {"mistake": "not-standardised"}),
    ("gradient-clipped", {"clip": 0.2, "epochs": 60}),
    ("gradient-clipped", {"clip": 0.4, "columns": 1}),
    ("undeclared-momentum", {"momentum": 0.9}),
    ("undeclared-momentum", {"momentum": 0.5}),
    ("last-batch-loss", {"mistake": "last-batch-loss", "batch": 17}),
]

RIGHT = [
    {},
    {"lr": 0.01, "epochs": 100},
    {"lr": 0.5},
    {"after": True},
    {"epochs": 8},
    {"columns": 1, "lr": 0.01, "epochs": 250},
    {"columns": 10, "lr": 0.02, "epochs": 60},
    {"rsquared": 0.2},
    {"rsquared": 0.99},
    {"batch": 17},
    {"batch": 5, "lr": 0.05},
    {"batch": 17, "rsquared": 0.2},
    {"batch": 17, "rsquared": 0.99},
    {"momentum": 0.9},
    {"momentum": 0.9, "epochs": 100},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.9, "lr": 0.01, "batch": 17},
    {"momentum": 0.95, "columns": 10, "epochs": 60},
    {"optimizer": "adam"},
    {"optimizer": "adam", "lr": 0.01, "epochs": 200},
    {"optimizer": "adam", "batch": 17},
    {"scheduler": "step"},
    {"scheduler": "cosine"},
    {"scheduler": "cosine", "batch": 17},
    {"scheduler": "exponential"},
    {"scheduler": "warm-up"},
    {"scheduler": "one cycle"},
    {"weight_decay": 0.1},
    {"weight_decay": 0.1, "batch": 17},
    {"clip": 10.0},
]


def label(options):
    return " ".join(f"{name}={value}" for name, value in options.items()) or "plain"


def printed(options, seed):
    """The losses of one seed as they are, and those of the others with four decimals."""
    losses = print_losses(seed=seed, **options)
    return losses if seed == 0 else [f"{loss:.4f}" for loss in losses]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("key", "options"), BROKEN, ids=lambda each: each if isinstance(each, str) else label(each))
def test_a_mistake_is_named(key, options, seed):
    momentum = 0.0 if key == "undeclared-momentum" else None
    result = sq.checkup_losses(printed(options, seed), lr=options.get("lr", 0.1), momentum=momentum)
    assert key in [finding.key for finding in result.findings][:2]
    wrong = [finding.key for finding in result.findings if finding.confidence == "certain"]
    assert set(wrong) <= {key, "nan-loss", "no-zero-grad", "lr-too-high"}


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("options", RIGHT, ids=label)
def test_a_right_loop_is_not_accused(options, seed):
    result = sq.checkup_losses(printed(options, seed), lr=options.get("lr", 0.1), momentum=options.get("momentum"))
    assert result.ok, result


WITH_DATA = [
    ("sum-for-mean", {"mistake": "sum-for-mean"}, "certain"),
    ("sum-for-mean", {"mistake": "sum-for-mean", "lr": 0.001}, "certain"),
    ("shape-broadcast", {"mistake": "shape-broadcast"}, "likely"),
    ("labels-misaligned", {"mistake": "labels-misaligned"}, "likely"),
    ("double-step", {"mistake": "double-step"}, "likely"),
    ("lr-too-high", {"lr": 1.3}, "certain"),
]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("key", "options", "confidence"), WITH_DATA)
def test_data_name_the_cause(key, options, confidence, seed):
    X, y = make_rows(seed)
    losses = print_losses(seed=seed, **options)
    result = sq.checkup_losses(losses, lr=options.get("lr", 0.1), X=X.double().numpy(), y=y[:, 0].double().numpy())
    assert (result.findings[0].key, result.findings[0].confidence) == (key, confidence)


@pytest.mark.parametrize(
    "options", [{}, {"batch": 17}, {"momentum": 0.9, "epochs": 100}, {"scheduler": "step"}, {"weight_decay": 0.1}], ids=label
)
def test_data_do_not_accuse_a_right_loop(options):
    X, y = make_rows(4)
    losses = print_losses(seed=4, **options)
    result = sq.checkup_losses(losses, lr=0.1, momentum=options.get("momentum"), X=X.double().numpy(), y=y[:, 0].double().numpy())
    assert result.ok, result


def test_raw_columns_are_found_by_the_data():
    X, y = make_rows(1)
    losses = print_losses("not-standardised", seed=1)
    result = sq.checkup_losses(losses, lr=0.1, X=(50 * X + 200).double().numpy(), y=y[:, 0].double().numpy())
    assert [finding.key for finding in result.findings][:2] == ["not-standardised", "lr-too-high"]


def test_the_mistakes_are_named_where_the_issue_asks_for_sixty_percent():
    """All of BROKEN with a fresh seed: the share that is named, without declared momentum or lr."""
    named = Counter()
    for key, options in BROKEN:
        if key == "undeclared-momentum":  # it has to be declared as none
            continue
        losses = [f"{loss:.4f}" for loss in print_losses(seed=7, **options)]
        named[key in [finding.key for finding in sq.checkup_losses(losses).findings][:2]] += 1
    assert named[True] >= 0.8 * named.total()
