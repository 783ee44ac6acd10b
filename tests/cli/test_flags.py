"""Messages name options as a Python user writes them, and as flags on the command line."""

import inspect
import re
import sys

import pytest

import squarely as sq
from squarely import cli
from squarely.cli.flags import to_flags, use_flags_of
from squarely.cli.options import TRAINING
from squarely.errors import READ_OPTIONS, InputError, option_hint
from tests.support.checks import CARS, need

MESSAGES = {
    "lr='fast' is not a number. Give one, such as lr=0.01.": "--lr fast is not a number. Give one, such as --lr 0.01.",
    "stop='0.01 se' is a bound for loss='mse'.": "--stop '0.01 se' is a bound for --loss mse.",
    "batch_size=1,024 is above the 398 rows": "--batch-size 1024 is above the 398 rows",
    "Leave batch_size= out.": "Leave --batch-size out.",
    "shuffle=False keeps their order": "--no-shuffle keeps their order",
    "nesterov=True needs a momentum": "--nesterov needs a momentum",
    "average=True may bring it nearer": "--average true may bring it nearer",
    "metrics='rmsee' is not known": "--metric rmsee is not known",
    "metrics=['r2', 'mae'], or": "--metric r2 --metric mae, or",
    "optimizer_options={'eps': 1e-06}.": "--optimizer-option eps=1e-06.",
    "Give fixtures={'lr': 0.05, 'tokenizer': ...}.": "Give --fixture lr=0.05 --fixture tokenizer=....",
    "Give checkpoint='a folder' too": "Give --save 'a folder' too",
    "no row meets where=\"origin == 'usa'\".": "no row meets --where \"origin == 'usa'\".",
    "epochs=1e+400 is beyond": "--epochs 1e+400 is beyond",
    "(loss='mse', a constant lr=0.5, no decay)": "(--loss mse, a constant --lr 0.5, no decay)",
    "The file 'lr=1.csv' of \"seed=2\" does not exist": "The file 'lr=1.csv' of \"seed=2\" does not exist",
    "the optimizer's lr=1 and the user's": "the optimizer's --lr 1 and the user's",
    "levels=['a'] of bs(x, df=4), where x == 3": "levels=['a'] of bs(x, df=4), where x == 3",
    "start=<object> is no list": "start=<object> is no list",
    "This is not in lr=1.\n    y ~ lr=1\n        ^": "This is not in --lr 1.\n    y ~ lr=1\n        ^",
}


@pytest.mark.parametrize("message", MESSAGES)
def test_flags_are_those_of_the_commands(message):
    use_flags_of(cli.app)
    assert to_flags(message) == MESSAGES[message]


def test_hints_work_for_every_option():
    use_flags_of(cli.app)
    assert option_hint("skip_rows", 4) == "read={'skip_rows': 4}"
    assert option_hint("where", "x != '?'") == "where=\"x != '?'\""
    assert to_flags(f"Give {option_hint('skip_rows', 4)}.") == "Give --skip-rows 4."
    assert to_flags(f"Give {option_hint('skip_rows', [4])}.") == "Give --skip-rows '4,'."
    assert to_flags(f"Give {option_hint('missing', 'drop')}.") == "Give --missing drop."
    for name in READ_OPTIONS:
        flag = "--" + name.replace("_", "-")
        assert to_flags(f"Give {option_hint(name, 'x')} if so.") == f"Give {flag} x if so."


WRONG = {
    "weights": "",
    "frequencies": "",  # a value that each option refuses, in Python and on the command line
    "lr": -1.0, "epochs": 0, "batch_size": 0, "validation": 2.0, "metrics": ["rmsee"], "loss": "mso", "delta": 0.0,
    "quantile": 1.5, "optimizer": "sdg", "momentum": 2.0, "weight_decay": -1.0, "optimizer_options": {"foo": 1},
    "scheduler": "StepL", "scheduler_options": {"foo": 1}, "scheduler_per": "step", "clip_grad_norm": 0.0, "average": -1,
    "stop": "soon", "patience": 0, "min_delta": -1.0, "engine": "rowz", "gradient": "auto", "dtype": "half", "seed": 2**80,
    "device": "abacus", "missing": "dorp", "checkpoint_every": "often", "nesterov": True, "replacement": True,
    "where": "wieght > 3000", "collinear": "keep", "precision": "exact", "fold": "sums", "unseen": "drop",
    "rank_deficient": "drop", "duplicates": "drop", "tau": 0.0,
}  # fmt: skip
NEVER_WRONG = {"shuffle", "standardize", "stream"}  # flags without a wrong value
TYPED = {"epochs", "batch_size"}


def test_every_option_has_a_wrong_value():
    assert set(TRAINING) <= WRONG.keys() | NEVER_WRONG
    for function in (sq.ols, sq.merge, sq.certify, sq.Fit.predict):
        options = {
            p.name
            for p in inspect.signature(function).parameters.values()
            if p.default in ("drop", "auto", "raise", "error", "nan")
        }
        assert options <= WRONG.keys()


def words(name, value):
    flag = {"metrics": "--metric", "optimizer_options": "--optimizer-option", "scheduler_options": "--scheduler-option"}.get(
        name, "--" + name.replace("_", "-")
    )
    if value is True:
        return flag, [flag]
    if isinstance(value, dict):
        return flag, [flag, *(f"{key}={each}" for key, each in value.items())]
    return flag, [flag, *(value if isinstance(value, list) else [str(value)])]


def message_on_the_command_line(argv, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["squarely", *argv])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    return " ".join(capsys.readouterr().err.split())


CALLS = [
    *[("ols", name) for name in ("missing", "collinear", "precision", "fold")],
    *[("train", name) for name in (*TRAINING, "missing", "checkpoint_every") if name not in NEVER_WRONG],
    *[("sweep", name) for name in ("lr", "batch_size", "momentum", "seed", "epochs", "optimizer", "dtype", "device")],
]


@pytest.mark.parametrize(("call", "name"), CALLS)
def test_a_wrong_value_is_named_as_it_was_given(call, name, monkeypatch, capsys):
    if call != "ols":
        need("torch")
    value = WRONG[name]
    with pytest.raises(InputError) as caught:
        getattr(sq, call)("mpg ~ weight", CARS, **{name: value})
    first = str(caught.value).split("\n")[0]
    assert re.search(rf"\b{name}=", first), first
    flag, argv = words(name, value)
    shown = message_on_the_command_line([call, "mpg ~ weight", str(CARS), *argv], monkeypatch, capsys)
    assert re.search(rf"(?<![\w-]){flag}(?![\w-])", shown), shown
    assert not re.search(rf"\b{name}=", shown), shown


@pytest.mark.parametrize("name", ["unseen", "rank_deficient", "duplicates", "tau"])
def test_options_of_results_too(name, tmp_path, monkeypatch, capsys):
    saved = str(tmp_path / "fit.json")
    fit = sq.ols("mpg ~ weight", CARS)
    fit.save(saved)
    flag, argv = words(name, WRONG[name])
    if name == "tau":
        need("torch")
        given = ["certify", "mpg ~ weight", str(CARS), "--epochs", "1", *argv]
        python = lambda: sq.certify(fit, sq.train("mpg ~ weight", CARS, epochs=1), tau=WRONG[name])  # noqa: E731
    elif name == "duplicates":
        given, python = ["merge", saved, *argv], lambda: sq.merge([fit], duplicates=WRONG[name])
    else:
        given, python = ["predict", saved, str(CARS), *argv], lambda: fit.predict(CARS, **{name: WRONG[name]})
    with pytest.raises(InputError, match=rf"\b{name}="):
        python()
    shown = message_on_the_command_line(given, monkeypatch, capsys)
    assert flag in shown
    assert f"{name}=" not in shown
