"""Road two, gradient descent in PyTorch.

`recipe` holds the choices of a run and `checks` whether they make sense. `loop` is the training loop itself: `rows` hands out what
it sees, and `streamed` what is too much to hold; `gradients` is what a step goes by (of one of the `losses`), `optimizers` who
takes the step, `metrics` what is measured, `stopping` when it ends, and `state` is all that it is between two steps. `quadratic`
gives any epoch without a step. `model` is the nn.Linear; `own` is what a user brings: `pairs` and `loader` take in a loader,
`linear_module` and `probe` a module.

`foresight` is what theory says of a run; `training` is a finished run with that beside it, `page` how it looks; `sweep` puts
several runs side by side. `code` writes a run as a script that does without us: `code_rows` its reading of the data,
`code_columns` and `code_expressions` the columns of X, all of it through the safe literals of `code_text`.
"""

from squarely.errors import MissingExtraError

try:
    import torch  # noqa: F401  # asked for first, so that its absence is told in one sentence
except ModuleNotFoundError:
    raise MissingExtraError("Training", "PyTorch", "torch") from None

from squarely.descent.checks import checked
from squarely.descent.foresight import Prediction, RunTheory
from squarely.descent.linear_module import Affine, affine
from squarely.descent.loader import LoaderSource
from squarely.descent.model import LinearRegression
from squarely.descent.pairs import pairs
from squarely.descent.recipe import Recipe
from squarely.descent.sweep import Sweep
from squarely.descent.training import Training, train, with_prediction

__all__ = [
    "Affine",
    "LinearRegression",
    "LoaderSource",
    "Prediction",
    "Recipe",
    "RunTheory",
    "Sweep",
    "Training",
    "affine",
    "checked",
    "pairs",
    "train",
    "with_prediction",
]
