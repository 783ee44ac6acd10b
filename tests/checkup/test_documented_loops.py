"""docs/mistakes-in-loops.md: it is current, every key has its loops, and the checkup names each mistake."""

import inspect
import re

import numpy as np
import pytest

import squarely as sq
from squarely.checkup import MISTAKES
from tests.support.checks import need

need("torch")  # the loops import it

import torch
import torch.distributed as dist

from tests.support.mistakes_in_loops import EXAMPLES, PAGE, code_of, loops_of, page, with_example

CLOSE = 0.01
FAR = {  # the mistakes that keep the weights from least squares here; the others show in reports, rates, time or memory
    "no-zero-grad", "backward-on-accumulated-loss", "step-before-backward", "zero-grad-before-step", "graph-detached",
    "shape-broadcast", "wrong-loss", "nan-loss", "parameter-not-trained", "weights-never-move", "optimizer-of-another-model",
    "sum-for-mean", "gradient-clipped", "undeclared-momentum", "undeclared-weight-decay", "lr-too-high", "lr-too-low",
    "not-standardised", "labels-misaligned",
}  # fmt: skip
CORRECTED_ELSEWHERE = {
    "undeclared-weight-decay",  # declares a penalty
    "undeclared-momentum",  # declares it, and needs more epochs
}

EVERY = 9  # make test examines each ninth loop; make test-all examines them all
KEYS = [pytest.param(key, marks=[pytest.mark.process_group] if number % EVERY else []) for number, key in enumerate(MISTAKES)]


def test_the_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.support.mistakes_in_loops"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_example_is_what_the_command_prints(example):
    text = example.read_text(encoding="utf-8")
    shown, printed = (re.sub(r"\d+\.\d+", "#", each) for each in (text, with_example(text, whole=example.name != "README.md")))
    assert shown == printed, "run: python -m tests.support.mistakes_in_loops"


def test_every_key_has_a_section_with_two_short_loops():
    sections = re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert [key for key, _ in sections] == list(MISTAKES)
    for key, text in sections:
        blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        assert len(blocks) == 2, key
        for block in blocks:
            code = block[block.index("def train(") :]
            assert 5 <= len(code.splitlines()) <= 13, (key, code)
        assert blocks[0] != blocks[1]
        for part in ("Mark", "Effect", "Fix"):
            assert f"\n*{part}.* " in text, key


@pytest.fixture
def process_group(tmp_path_factory):
    """One process, for the loops that average gradients over processes."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path_factory.mktemp('group') / 'file'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def fixtures():
    """Make the arguments of the loops: 107 rows on a line, so that batches add no noise."""
    generator = np.random.default_rng(0)
    columns = generator.standard_normal((134, 3))
    response = columns @ [0.5, -0.3, 0.2] + 0.1
    X = torch.tensor((columns - columns[:107].mean(0)) / columns[:107].std(0), dtype=torch.float32)
    y = torch.tensor(response, dtype=torch.float32).reshape(-1, 1)
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    rows, validation = (torch.utils.data.TensorDataset(*part) for part in ((X[:107], y[:107]), (X[107:], y[107:])))
    return {
        "model": model,
        "X": X[:107],
        "y": y[:107],
        "X_train": X[:107],
        "y_train": y[:107],
        "X_val": X[107:],
        "y_val": y[107:],
        "dataset": rows,
        "loader": torch.utils.data.DataLoader(rows, batch_size=17, shuffle=True),
        "val_loader": torch.utils.data.DataLoader(validation, batch_size=17),
        "optimizer": optimizer,
        "criterion": torch.nn.MSELoss(),
        "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, step_size=100),
        "lr": 0.1,
        "epochs": 60,
        "batch_size": 17,
        "seed": 0,
        "rank": 0,
        "world_size": 1,
    }


def distance_of(loop):
    """Call a loop; return how far its model is from least squares, in standard deviations of the response."""
    known = fixtures()
    returned = loop(**{name: known[name] for name in inspect.signature(loop).parameters if name in known})
    model = returned if isinstance(returned, torch.nn.Module) else known["model"]
    X, y = (known[name].double().numpy() for name in ("X", "y"))
    best = np.linalg.lstsq(np.column_stack([np.ones(len(X)), X]), y, rcond=None)[0].ravel()
    slopes = np.array([model.bias.item(), *model.weight[0].tolist()])
    return float(np.max(np.abs(slopes - best)) / y.std())


@pytest.mark.parametrize("key", MISTAKES)
@pytest.mark.usefixtures("process_group")
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")
def test_the_loops_run(key):
    """The corrected loop reaches least squares; the other one does not if its mistake shows in the weights."""
    wrong, right = loops_of(key)
    if key == "wrong-device-or-dtype":
        with pytest.raises(RuntimeError, match="dtype"):
            distance_of(wrong)
    else:
        assert (not distance_of(wrong) < CLOSE) == (key in FAR)
    if key not in CORRECTED_ELSEWHERE:
        assert distance_of(right) < CLOSE


@pytest.mark.parametrize("key", KEYS)
def test_the_checkup_names_the_mistake(key):
    found = sq.checkup(loops_of(key)[0])
    assert key in [finding.key for finding in found.findings][:2], str(found)


@pytest.mark.parametrize("key", KEYS)
def test_the_corrected_loop_has_no_mistake(key):
    found = sq.checkup(loops_of(key)[1])
    assert found.ok, str(found)


def test_the_code_of_the_page_is_that_of_the_loop():
    shown = code_of(loops_of("optimizer-of-another-model")[0])
    assert shown.startswith("import copy\nimport torch\n\n\ndef train(model, X, y, criterion, lr, epochs):\n")
    assert "for epoch in range(epochs):" in shown
