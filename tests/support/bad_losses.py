"""Printed losses that cannot be read, and options of `checkup_losses` that cannot be."""

from typing import Any

from squarely.errors import DataError, OptionError, SquarelyError
from tests.support.bad_row import NO_OBJECTS, At, File, Row

_LOG = "Epoch 1: loss = 0.50\nEpoch 2: loss = 0.40\n"


def _row(name: str, says: str, text: str, raises: type[SquarelyError] = DataError, **options: Any) -> Row:
    data = File(text, "log.txt")
    return Row(name=name, data=data, call="checkup_losses", says=says, raises=raises, options=options)


def _of_object(name: str, says: str, losses: Any, raises: type[SquarelyError] = DataError, **options: Any) -> Row:
    return Row(
        name=name, data=lambda: losses, call="checkup_losses", says=says, raises=raises, options=options, python_only=NO_OBJECTS
    )


LOSSES = [
    Row(name="a file that is not there", data=At("missing.csv"), call="checkup_losses", raises=DataError,
        says="There is no file 'missing.csv'. Check the path, or give the losses as a list."),
    _row("a file that is empty", "<data> is empty. Give a log with lines such as 'Epoch 1: loss = 0.4682', or a CSV file.", " \n"),
    _row("a log without a loss", "There is no loss in <data>. Give lines such as 'Epoch 1: loss = 0.4682'", "started\nfinished\n"),
    _row("a column of words", "'low' is not a number. Leave the row out", "epoch,loss\n1,low\n2,lower\n"),
    _row("columns without a loss",
         "No column of <data> looks like a loss: 'x', 'z'. Name it: column='x'.", "epoch,x,z\n1,2,3\n2,3,4\n"),
    _row("columns of two runs",
         "Several columns of <data> may be the loss: 'a - loss', 'b - loss'. Name one, such as column='a - loss'.",
         "Step,a - loss,b - loss\n0,1.0,2.0\n1,0.5,1.0\n"),
    _row("a label that is not there", "There is no 'lose' among the labels in <data>. Known names: 'loss'.", _LOG, column="lose"),
    _of_object(
        "column: a number",
        "column=3 is not text. Give the name of a column, such as column='loss'.",
        [0.5, 0.4],
        OptionError,
        column=3,
    ),
    _row("lr: zero", "lr=0.0 is not a number above 0. Give that of the loop, or leave it out.", _LOG, OptionError, lr=0.0),
    _row("momentum: one",
         "momentum=1.0 is not a number from 0 to below 1. Give that of the loop", _LOG, OptionError, momentum=1.0),
    _of_object("one number", "losses=0.5 is not a list of losses. Give numbers, a table, the path of a file", 0.5),
    _of_object("an empty list", "There is no loss in the numbers. Give numbers, or lines such as", []),
    _of_object("a loss that is missing", "None is not a loss. Give one number for each epoch.", [0.5, None]),
    _of_object("column: beside numbers", "column='loss' has no meaning for a list of numbers. Leave it out, or give a table.",
               [0.5, 0.4], OptionError, column="loss"),
]  # fmt: skip
