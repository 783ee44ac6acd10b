"""Road two, gradient descent in PyTorch.

`recipe` holds the choices of a run and checks them; `loop` is the training loop itself, from standardised rows to a
trained nn.Linear; `foresight` is what theory says of a run; `training` is a finished run with that beside it; `sweep` puts
several learning rates side by side. `pairs` and `loader` take in a user's own loader, `linear_module` and `probe` a user's own
module. `code` writes a run as a script that does without us: `code_rows` its reading of the data,
`code_columns` and `code_expressions` the columns of X, all of it through the safe literals of `code_text`.
"""

from squarely.errors import MissingExtraError

try:
    import torch  # noqa: F401  # asked for first, so that its absence is told in one sentence
except ModuleNotFoundError:
    raise MissingExtraError("Training", "PyTorch", "torch") from None

from squarely.descent.foresight import Prediction, RunTheory
from squarely.descent.linear_module import Affine, affine
from squarely.descent.loader import LoaderSource
from squarely.descent.loop import LinearRegression
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
    "pairs",
    "train",
    "with_prediction",
]
