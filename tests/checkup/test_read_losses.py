"""Losses are read from whatever a loop, a tracker or a user writes, with the rounding of what is printed."""

import io

import numpy as np
import pandas as pd
import pytest

from squarely.checkup import read_losses
from squarely.errors import DataError, OptionError
from tests.support.checks import assert_close, need

# Texts with two losses: what prints them -> the text, the steps (None if it has none), the losses, half of the last digit.
LOGS = {
    "tutorial": (
        "Epoch 50: train loss = 0.4682\n"
        "Epoch 100: train loss = 0.3685\n",
        [50, 100], [0.4682, 0.3685], 5e-05,
    ),
    "label without a sign": (
        "epoch 0 loss 2.5000\n"
        "epoch 1 loss 1.2500",
        [0, 1], [2.5, 1.25], 5e-05,
    ),
    "upper case": (
        "EPOCH 1 TRAIN LOSS 0.50\n"
        "EPOCH 2 TRAIN LOSS 0.40",
        [1, 2], [0.5, 0.4], 0.005,
    ),
    "keras": (
        "Epoch 1/2\n"
        "1/7 [==>.....] - ETA: 0s - loss: 2.1000\r"
        "7/7 [====] - 0s 2ms/step - loss: 1.1234 - val_loss: 0.9000\n"
        "Epoch 2/2\n"
        "7/7 [====] - 0s 2ms/step - loss: 0.9123 - val_loss: 0.8000\n",
        [1, 2], [1.1234, 0.9123], 5e-05,
    ),
    "tqdm": (
        "Epoch 0:  43%|### | 3/7 [00:00<00:00, 12.3it/s, loss=0.700]\r"
        "Epoch 0: 100%|###| 7/7 [00:00<00:00, 12.3it/s, loss=0.532]\n"
        "Epoch 1: 100%|###| 7/7 [00:00<00:00, 12.3it/s, loss=0.432]\n",
        [0, 1], [0.532, 0.432], 0.0005,
    ),
    "batches of an epoch": (
        "Epoch [1/9], Step [100/938], Loss: 0.50\n"
        "Epoch [1/9], Step [200/938], Loss: 0.25",
        None, [0.5, 0.25], 0.005,
    ),
    "hugging face": (
        "{'loss': 0.50, 'lr': 1e-4, 'epoch': 1.0}\n"
        "{'loss': 0.40, 'lr': 1e-4, 'epoch': 2.0}",
        [1, 2], [0.5, 0.4], 0.005,
    ),
    "json lines": (
        '{"epoch": 1, "loss": 0.51}\n'
        '{"epoch": 2, "loss": 0.42}',
        [1, 2], [0.51, 0.42], 0.005,
    ),
    "json lists": (
        '{"loss": [0.51, 0.42], "val_loss": [0.6, 0.5]}',
        None, [0.51, 0.42], 0.005,
    ),
    "tensorboard": (
        "Wall time,Step,Value\n"
        "1700000000.1,0,0.5123\n"
        "1700000001.1,1,0.4\n",
        [0, 1], [0.5123, 0.4], 5e-05,
    ),
    "weights and biases": (
        '"Step","run-1 - loss","run-1 - loss__MIN","run-1 - loss__MAX"\n'
        '"0","0.51","0.50","0.52"\n'
        '"5","0.42","0.40","0.43"\n',
        [0, 5], [0.51, 0.42], 0.005,
    ),
    "lightning": (
        "epoch,step,train_loss,val_loss\n"
        "0,49,0.51,\n"
        "0,49,,0.62\n"
        "1,99,0.42,\n"
        "1,99,,0.53\n",
        [0, 1], [0.51, 0.42], 0.005,
    ),
    "lightning, both": (
        "epoch,step,train_loss_step,train_loss_epoch\n"
        "0,9,0.90,\n"
        "0,19,,0.51\n"
        "1,29,0.70,\n"
        "1,39,,0.42\n",
        [0, 1], [0.51, 0.42], 0.005,
    ),
    "skorch": (
        "  epoch    train_loss    valid_loss     dur\n"
        "-------  ------------  ------------  ------\n"
        "      1        0.5234        0.6123  0.0123\n"
        "      2        0.4234        0.5123  0.0120\n",
        [1, 2], [0.5234, 0.4234], 5e-05,
    ),
    "fastai": (
        "epoch     train_loss  valid_loss  time\n"
        "0         0.55        0.44        00:01\n"
        "1         0.45        0.34        00:01",
        [0, 1], [0.55, 0.45], 0.005,
    ),
    "nanogpt": (
        "step 0: train loss 4.20, val loss 4.31\n"
        "step 250: train loss 3.21, val loss 3.32",
        [0, 250], [4.2, 3.21], 0.005,
    ),
    "a logger": (
        "2026-01-01 10:00:01,123 INFO Epoch 1 loss=1.25\n"
        "2026-01-01 10:00:02,123 INFO Epoch 2 loss=1.05",
        [1, 2], [1.25, 1.05], 0.005,
    ),
    "steps and numbers": (
        "0 36.4\n"
        "100 30.2\n",
        [0, 100], [36.4, 30.2], 0.05,
    ),
    "carriage returns": (
        "0 36.4\r"
        "100 30.2\r",
        [0, 100], [36.4, 30.2], 0.05,
    ),
    "numbers": (
        "36.44\n"
        "30.20\n",
        None, [36.44, 30.2], 0.005,
    ),
    "tensors": (
        "tensor(0.4682, grad_fn=<MseLossBackward0>)\n"
        "tensor(0.3682, grad_fn=<MseLossBackward0>)",
        None, [0.4682, 0.3682], 5e-05,
    ),
    "decimal commas": (
        "loss: 0,4682\n"
        "loss: 0,3685",
        None, [0.4682, 0.3685], 5e-05,
    ),
    "thousands": (
        "loss: 1,234.50\n"
        "loss: 1,034.25",
        None, [1234.5, 1034.25], 0.005,
    ),
    "colors": (
        "\x1b[32mEpoch 1\x1b[0m loss: 0.51\n"
        "\x1b[32mEpoch 2\x1b[0m loss: 0.42",
        [1, 2], [0.51, 0.42], 0.005,
    ),
    "accuracy beside it": (
        "Epoch 1, loss=0.51, acc=0.30\n"
        "Epoch 2, loss=0.42, acc=0.31",
        [1, 2], [0.51, 0.42], 0.005,
    ),
    "only a validation loss": (
        "epoch 0 val loss: 3.21\n"
        "epoch 1 val loss: 3.02",
        [0, 1], [3.21, 3.02], 0.005,
    ),
    "a column": (
        "loss\n"
        "0.51\n"
        "0.42\n",
        None, [0.51, 0.42], 0.005,
    ),
    "semicolons": (
        "epoch;loss\n"
        "1;0,51\n"
        "2;0,42\n",
        [1, 2], [0.51, 0.42], 0.005,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOGS)
@pytest.mark.parametrize("as_file", [False, True])
def test_a_log_is_read(name, as_file, tmp_path):
    text, steps, losses, half_width = LOGS[name]
    path = tmp_path / "log.txt"
    path.write_bytes(text.encode())
    series = read_losses(path if as_file else text)
    assert_close(series.values, losses, rtol=0)
    assert_close(series.steps, [0, 1] if steps is None else steps, rtol=0)
    assert series.numbered == (steps is not None)
    assert_close(series.half_width, [half_width] * 2, rtol=1e-6)
    assert ("log.txt" if as_file else "the text") in series.found


def test_numbers_of_a_few_digits_are_rounded_to_these_digits():
    series = read_losses("Loss: 644.398\nLoss: 1.49074e+07\nLoss: 1.02868e+38\nLoss: -nan\n")
    assert_close(series.half_width[:3], [5e-4, 5e1, 5e32], rtol=1e-6)
    assert np.isnan(series.values[3])
    assert len(series.finite_start()) == 3


def test_numbers_of_python_keep_the_rounding_of_float32():
    assert_close(read_losses([36.44832992553711, 43.94552230834961]).half_width, [8.7476e-06, 1.05469e-05], rtol=1e-4)
    assert_close(read_losses([0.4682, 0.3685]).half_width, [5e-5, 5e-5], rtol=1e-6)


def test_tables_and_arrays_are_read():
    table = {"epoch": [0, 50], "train_loss": [0.5, 0.4], "val_loss": [0.6, 0.5]}
    for losses in (table, pd.DataFrame(table), [{"epoch": 0, "train_loss": 0.5}, {"epoch": 50, "train_loss": 0.4}]):
        series = read_losses(losses)
        assert (series.steps.tolist(), series.values.tolist(), series.unit) == ([0.0, 50.0], [0.5, 0.4], "epoch")
    assert read_losses(pd.DataFrame(table), "val_loss").values.tolist() == [0.6, 0.5]
    for losses in (np.array([0.5, 0.4]), pd.Series([0.5, 0.4]), (0.5, 0.4), ["0.5", "0.4"], iter([0.5, 0.4])):
        assert read_losses(losses).values.tolist() == [0.5, 0.4]
    assert read_losses([(0, 0.5), (50, 0.4)]).steps.tolist() == [0.0, 50.0]


def test_tensors_are_read():
    torch = need("torch")
    losses = [torch.tensor(0.5, requires_grad=True), torch.tensor(0.25)]
    assert read_losses(losses).values.tolist() == [0.5, 0.25]
    assert read_losses(torch.tensor([0.5, 0.25])).values.tolist() == [0.5, 0.25]


def test_standard_input_is_read(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("Epoch 1: loss = 0.5\n"))
    assert read_losses("-").found == "1 line 'loss = ...' of standard input"


def test_a_second_run_is_split_off():
    runs = read_losses("epoch 0 loss 4.0\nepoch 1 loss 2.0\nepoch 0 loss 1.9\nepoch 1 loss 1.8").runs()
    assert [run.values.tolist() for run in runs] == [[4.0, 2.0], [1.9, 1.8]]


def test_warnings_of_torch_in_the_log_are_kept():
    text = "UserWarning: Using a target size (torch.Size([9])) that is different to the input size (torch.Size([9, 1])).\nloss: 0.5"
    assert [key for key, _ in read_losses(text).warnings] == ["shape-broadcast"]


@pytest.mark.parametrize(
    ("losses", "column", "error", "says"),
    [
        ("missing.csv", None, DataError, "There is no file 'missing.csv'. Check the path, or give the losses as a list."),
        ("", None, DataError, "the text is empty."),
        ("hello\nworld", None, DataError, "There is no loss in the text. Give lines such as"),
        ([], None, DataError, "There is no loss in the numbers."),
        (3.0, None, DataError, "losses=3.0 is not a list of losses."),
        (["a", "b"], None, DataError, "'a' is not a number."),
        ([None, 0.5], None, DataError, "None is not a loss. Give one number for each epoch."),
        ([[1, 2, 3], [4, 5, 6]], None, DataError, "[1, 2, 3] is not a loss."),
        ({"x": [1, 2], "z": [2, 3]}, None, DataError, "No column of the table looks like a loss: 'x', 'z'. Name it: column='x'."),
        ({"a_loss": [1.0], "b_loss": [2.0]}, None, DataError, "Several columns of the table may be the loss: 'a_loss', 'b_loss'."),
        ({"loss": [1.0]}, "lose", DataError, "There is no 'lose' among the columns of the table."),
        ({"loss": [1.0]}, 3, OptionError, "column=3 is not text."),
        ([1.0, 2.0], "loss", OptionError, "column='loss' has no meaning for a list of numbers."),
        ("epoch,loss\n1,abc\n", None, DataError, "'abc' is not a number."),
    ],
)  # fmt: skip
def test_what_has_no_loss_is_refused(losses, column, error, says):
    with pytest.raises(error) as caught:
        read_losses(losses, column)
    assert says in str(caught.value)
