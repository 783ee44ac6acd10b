"""PyTorch takes a second to import: a wrong option is named before that, and a run in closed form does without."""

import json
import subprocess
import sys

import pytest

from tests.support.checks import need

WRONG_SWEEPS = [
    ("lr=[0.1, -1]", "must be a finite number above zero"),
    ("lr=[]", "names no learning rate"),
    ("seed=[1, 1]", "would train the same run twice"),
    ("epochs=[1, 2]", "can vary within a sweep"),
    ("epoch=3", "Did you mean 'epochs'?"),
    ("lr=[0.1, 0.2], seed=range(10**6)", "Leave some values out"),
    ("optimizer='adm'", "Did you mean 'adam'?"),
    ("momentum=[0.0, 0.9], nesterov=True", "needs momentum above zero"),
    ("epochs=10**9", "would fill the memory"),
    ("stop='validation'", "Give validation="),
]
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
    ("nesterov=True", "needs momentum above zero"),
    ("replacement=True", "Give batch_size= too"),
    ("stop='validation'", "Give validation="),
    ("optimizer='Adam', momentum=0.9", "belong to optimizer='sgd'"),
    ("engine='closed_form', stop='loss'", "takes no steps"),
    ("engine='closed_form', validation=0.5", "evaluates no rows"),
    ("engine='closed_form', start=[1.0]", "2 coefficients"),
]


CASES = [
    *(("train", *case) for case in WRONG),
    *(("sweep", *case) for case in WRONG_SWEEPS),
    *(("certify", *case) for case in WRONG[:5]),
]
CODE = """
import json, sys, squarely as sq
for function, option in json.loads(sys.argv[1]):
    try:
        eval(f'sq.{function}("y ~ x", {{"x": [0.0, 1.0, 2.0], "y": [1.0, 3.0, 5.5]}}, {option})')
    except sq.errors.OptionError as error:
        print(json.dumps([function, option, "torch" in sys.modules, str(error)]))
"""


@pytest.fixture(scope="module")
def found():
    """Give (whether torch is imported, the message) by function and option: one process tries them all."""
    need("torch")
    cases = json.dumps([case[:2] for case in CASES])
    done = subprocess.run([sys.executable, "-c", CODE, cases], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {(function, option): (imported, message) for function, option, imported, message in lines}


@pytest.mark.parametrize(("function", "option", "words"), CASES)
def test_a_wrong_option_fails_without_torch(found, function, option, words):
    imported, message = found[function, option]
    assert not imported
    assert words in message


CLOSED_FORM = """
import sys, tempfile, squarely as sq
data = {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]}
run = sq.train("y ~ x", data, engine="closed_form", lr=0.1, epochs=50)
with tempfile.TemporaryDirectory() as folder:
    run.save(folder)
    loaded = sq.load(folder)
    print(loaded.params.equals(run.params), loaded.status == run.status)
loaded.summary(), loaded.code(), loaded.predict(data), loaded.as_dict()
print([float(value).hex() for value in (*run.result.start, *run.params, *run.history["loss"])])
sq.certify("y ~ x", data, engine="closed_form").summary()
run.summary(), repr(run), run.code(), run.predict(data), run.as_dict(), run.notes
"""


def test_a_run_in_closed_form_needs_no_torch():
    need("torch")
    torch_free = CLOSED_FORM + 'print("torch" in sys.modules)'
    done = subprocess.run([sys.executable, "-c", torch_free], capture_output=True, text=True, check=True)
    loaded, numbers, is_imported = done.stdout.splitlines()
    assert loaded == "True True"
    assert is_imported == "False"
    beside_torch = subprocess.run(
        [sys.executable, "-c", "import torch\n" + CLOSED_FORM], capture_output=True, text=True, check=True
    )
    assert beside_torch.stdout.splitlines() == [loaded, numbers]


def test_a_run_in_closed_form_works_where_torch_is_not_installed():
    code = f"""
import sys; sys.modules["torch"] = None
{CLOSED_FORM}
try:
    run.model
except sq.errors.MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "run.model needs PyTorch" in done.stdout
