"""Training loops that cannot be called or do not end, as a checkup refuses them."""

from dataclasses import replace
from typing import Any

from squarely.errors import OptionError
from tests.support.bad_row import NO_OBJECTS, At, File, Row


def _row(name: str, says: str, source: str, target: Any = "train.py:train", **options: Any) -> Row:
    return Row(name=name, data=File(source, "train.py"), formula=target, call="checkup", options=options, says=says)


def _option(name: str, says: str, source: str, **options: Any) -> Row:
    return Row(
        name=name,
        data=File(source, "train.py"),
        formula="train.py:train",
        call="checkup",
        options=options,
        says=says,
        raises=OptionError,
    )


def _of_object(name: str, says: str, target: Any) -> Row:
    return Row(name=name, data=At("train"), formula=target, call="checkup", says=says, python_only=NO_OBJECTS)


_FIT = "def train(model, X, y, optimizer, criterion):\n    criterion(model(X), y).backward()\n    optimizer.step()\n"

LOOPS = [
    _option("a parameter that is not understood", "train() needs 'writer', and a checkup has nothing of this name; it "
         "understands model, X",
            "def train(X, y, writer): ..."),
    _option("a misspelled parameter", "Did you mean 'model'? Give its value with fixtures={'modle': ...}, or give the parameter "
         "a default.",
            "def train(modle, X, y): ..."),
    _option("a value that no parameter takes", "fixtures= has 'optimiser_name', and train() has no such parameter. Did you mean "
         "'optimizer'?",
            _FIT, fixtures={"optimiser_name": 0.1}),
    _option("no time for a loop", "timeout=0 is not a number of seconds above zero. Write timeout=60.", _FIT, timeout=0),
    _option("time in words", "timeout='soon' is not a number of seconds above zero. Write timeout=60.", _FIT, timeout="soon"),
    replace(_option("a list for fixtures=", "fixtures=['lr'] is not a dict of values by the names of parameters. Write fixtures=",
                    _FIT, fixtures=["lr"]), python_only=NO_OBJECTS),
    _row("only **kwargs", "train(**options) does not say what it needs: its parameters have no names. Name them, as in def "
         "train(model,",
         "def train(**options): ..."),
    _row("async", "train is async; nothing runs until it is awaited. Give a plain function: def train(): asyncio.run(train()).",
         "async def train(model, X, y): ..."),
    _row("a generator", "train is a generator; nothing runs until it is iterated. Give a function that goes to its end.",
         "def train(loader):\n    yield from loader"),
    _row("a built-in function", "exp is a built-in function of Python and not a training loop.", "", "math:exp"),
    _row("a model", "Model is a model and does not train itself. Give the function that trains it, or a class with fit(X, y).",
         "import torch\nclass Model(torch.nn.Module): ...", "train.py:Model"),
    _row("a class without fit", "Trainer has no method fit(X, y). Give the method Trainer(...).run, or a function that calls it.",
         "class Trainer:\n    def run(self, X, y): ...", "train.py:Trainer"),
    _row("a module that is not there", "There is no module 'trian', neither in the current folder nor among those that are "
         "installed. "
         "Did you mean 'train'?", "", "trian:train"),
    _row("a function that is not there", "train has no 'trian'. Did you mean 'train'?", "def train(X, y): ...", "train:trian"),
    _row("a module without a function", "'train' does not name a function. Write the module, a colon and the function, such as",
         "def train(X, y): ...", "train"),
    _row("a notebook", "'train.ipynb' does not name a function. A notebook cannot be called: pass the function itself", "",
         "train.ipynb"),
    _row("a script that is not there", "There is no script 'trian.py'. Did you mean 'train.py'?", "", "trian.py"),
    _row("a script that is not Python", "train.py is not valid Python: expected ':' at line 1 of train.py: for epoch in range(3).",
         "for epoch in range(3)\n    pass", "train.py"),
    _row("a module that raises on import", "train cannot be imported: ValueError: no data, at line 1 of train.py: raise ValueError",
         "raise ValueError('no data')", "train:train"),
    _row("a loop that never ends", "The loop does not end within 1 s; it was running, at line 2 of train.py: while True: pass. "
         "Use fewer",
         "def train(X, y):\n    while True: pass", timeout=1),
    _row("a loop that calls sys.exit", "train calls sys.exit(3). Let it return instead.", "import sys\ndef train(X, y):\n    "
         "sys.exit(3)"),
    _row("a loop that ends its process", "The loop ended its process with os._exit(3) or the like. Let it return instead.",
         "import os\ndef train(X, y):\n    os._exit(3)"),
    _row("a loop that crashes", "The process of the loop crashed with signal SIGABRT, at line 3 of train.py: os.abort(). Run "
         "the loop alone",
         "import os\ndef train(X, y):\n    os.abort()"),
    _row("a loop that reads standard input", "train reads standard input, and there is none in a checkup. Give the value as an "
         "argument.",
         "def train(X, y):\n    lr = float(input('lr? '))"),
    _row("a loop that trains nothing", "train trains nothing: it compares no predictions with targets, computes no gradient",
         "def train(X, y):\n    return X.mean()"),
    _of_object("a number", "3 is not a training loop: it cannot be called. Give a function that trains, an object with fit(X, "
         "y),", 3),
    _of_object("a dict", "{'X': 1} is not a training loop: it cannot be called.", {"X": 1}),
]  # fmt: skip
