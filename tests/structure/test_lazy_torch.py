"""PyTorch takes a second to import: a wrong option of `train` is named before that."""

import subprocess
import sys

import pytest

from tests.support.checks import need

WRONG = [
    ("loss='mes'", "Did you mean 'mse'?"),
    ("lr=-1", "must be a finite number above zero"),
    ("optimizer='adm'", "Did you mean 'adam'?"),
    ("scheduler='SetpLR'", "Did you mean 'StepLR'?"),
    ("epochs=0", "at least 1"),
    ("dtype='float16'", "float16"),
    ("engine='row'", "Use 'rows', 'moments'"),
    ("stop='soon'", "0.01 se"),
    ("metrics='r3'", "r2"),
    ("start=[1e39]", "float32"),
]


@pytest.mark.parametrize(("option", "words"), WRONG)
def test_a_wrong_option_fails_without_torch(option, words):
    need("torch")
    code = f"""
import sys, squarely as sq
try:
    sq.train("y ~ x", {{"x": [0.0, 1.0, 2.0], "y": [1.0, 3.0, 5.5]}}, {option})
except sq.errors.OptionError as error:
    print("torch" in sys.modules, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False "), done.stdout
    assert words in done.stdout
