"""One list of options: `train`, TrainingOptions and the command line have the same names and defaults."""

import inspect
from dataclasses import MISSING, fields

import pytest

import squarely as sq
from squarely.cli.options import TRAINING
from squarely.errors import OptionError
from tests.support.checks import need

INPUTS = {
    "formula",
    "data",
    "X",
    "y",
    "loader",
    "model",
    "intercept",
    "where",
    "missing",
    "read",
    "validation",
    "weights",
    "frequencies",
}
CHECKPOINTS = {"checkpoint", "checkpoint_every", "resume"}
PYTHON_ONLY = {"callbacks", "start"}


@pytest.fixture
def defaults():
    need("torch")
    from squarely.descent import TrainingOptions

    return {
        field.name: None if field.default is MISSING else field.default
        for field in fields(TrainingOptions)
        if field.name in TrainingOptions.names()
    }


@pytest.fixture
def signature():
    return {parameter.name: parameter.default for parameter in inspect.signature(sq.train).parameters.values()}


def test_the_signature_is_the_list(signature, defaults):
    assert {name: default for name, default in signature.items() if name not in INPUTS | CHECKPOINTS} == defaults


def test_the_command_line_has_every_option(signature, defaults):
    assert TRAINING.keys() == defaults.keys() - PYTHON_ONLY | {"validation", "weights", "frequencies"}
    for name, flag in TRAINING.items():
        value = flag.read(flag.default)
        assert value == signature[name] or (not value and not signature[name]), name


def test_sweep_refuses_what_is_not_an_option_of_it():
    need("torch")
    data = {"x": [0.0, 1.0, 2.0], "y": [1.0, 3.0, 5.5]}
    with pytest.raises(OptionError, match=r"'epoch' is not an option of sweep\. Did you mean 'epochs'\?"):
        sq.sweep("y ~ x", data, epoch=10)
    for name in ("gradient", "stream", "made", "loader", "checkpoint"):
        with pytest.raises(OptionError, match=f"'{name}' is not an option of sweep"):
            sq.sweep("y ~ x", data, **{name: None})
