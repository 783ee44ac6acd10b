"""Road two, gradient descent in PyTorch.

`recipe` holds the choices of a run and `checks` whether they make sense. `loop` is the training loop itself: `rows` hands out what
it sees, `gradients` what a step goes by (of one of the `losses`), `optimizers` who takes the step, `metrics` what is measured,
`stopping` when it ends, and `state` is all that it is between two steps. `quadratic` gives any epoch without a step. `model` is
the nn.Linear; `foresight` is what theory says of a run; `training` is a finished run with that beside it; `sweep` puts several
learning rates side by side. `keeping` says where and how often a run is kept, its `keeper` does so, and `halting` lets Ctrl-C wait
for it; a `checkpoint` is what is on disk, `restoring` the way between it and a state, `plain` a state_dict without pickle, and
`identity` what a run must be of to go on from it. `code` writes a run as a script that does without us: `code_rows` its reading
of the data, `code_columns` and `code_expressions` the columns of X, all of it through the safe literals of `code_text`.
"""

from squarely.errors import MissingExtraError

try:
    import torch  # noqa: F401  # asked for first, so that its absence is told in one sentence
except ModuleNotFoundError:
    raise MissingExtraError("Training", "PyTorch", "torch") from None

from squarely.descent.foresight import Prediction, RunTheory
from squarely.descent.keeping import Keeping, keeping_of
from squarely.descent.model import LinearRegression
from squarely.descent.recipe import Recipe
from squarely.descent.sweep import Sweep
from squarely.descent.training import Training, train, with_prediction

__all__ = [
    "Keeping",
    "LinearRegression",
    "Prediction",
    "Recipe",
    "RunTheory",
    "Sweep",
    "Training",
    "keeping_of",
    "train",
    "with_prediction",
]
