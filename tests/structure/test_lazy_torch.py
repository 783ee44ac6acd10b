"""PyTorch takes a second to import: a wrong option of `train` is named before that."""

import json
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


CODE = """
import json, sys, squarely as sq
for option in json.loads(sys.argv[1]):
    try:
        sq.train("y ~ x", {"x": [0.0, 1.0, 2.0], "y": [1.0, 3.0, 5.5]}, **eval(f"dict({option})"))
    except sq.errors.OptionError as error:
        print(json.dumps([option, "torch" in sys.modules, str(error)]))
"""


@pytest.fixture(scope="module")
def found():
    """Give (whether torch is imported, the message) by option: one process tries them all."""
    need("torch")
    options = json.dumps([option for option, _ in WRONG])
    done = subprocess.run([sys.executable, "-c", CODE, options], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {option: (imported, message) for option, imported, message in lines}


@pytest.mark.parametrize(("option", "words"), WRONG)
def test_a_wrong_option_fails_without_torch(found, option, words):
    imported, message = found[option]
    assert not imported
    assert words in message
