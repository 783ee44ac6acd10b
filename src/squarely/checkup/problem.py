"""The test problem: a linear regression whose gradient, update and loss are known at every step."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from squarely.numerics import Array

ROWS, VALIDATION_ROWS, BATCH_SIZE, EPOCHS = 107, 27, 17, 23  # rows, batch size and epochs are primes: each factor has one reading
LR = 0.1
_MEANS, _SPREADS = (230.0, 3000.0, 15.0, 76.0), (70.0, 800.0, 3.0, 4.0)  # of raw columns: displacement, weight, acceleration, year


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """Rows for one run of a training loop.

    Attributes
    ----------
    X, X_validation : (n, p), (m, p) the inputs. Every value of a column is different, so a value identifies its row.
    y, y_validation : (n,), (m,) the targets, with different values too.
    batch_size, epochs, lr, seed : what the fixtures of these names are.
    target_ndim : 2 for targets of shape (n, 1), 1 for (n,).
    as_numpy : whether X and y are NumPy arrays instead of tensors.
    standardized : whether the columns of X have mean 0 and variance 1.
    """

    X: Array
    y: Array
    X_validation: Array
    y_validation: Array
    batch_size: int = BATCH_SIZE
    epochs: int = EPOCHS
    lr: float = LR
    seed: int = 0
    target_ndim: int = 2
    as_numpy: bool = False
    standardized: bool = True


def make_problem(
    *,
    columns: int = 3,
    rows: int = ROWS,
    standardized: bool = True,
    target_ndim: int = 2,
    as_numpy: bool = False,
    seed: int = 0,
) -> Problem:
    """Return a test problem with values that float32 holds exactly.

    Standardized columns are nearly orthogonal: the eigenvalues of H = (2/n) X'X are near 2, and gradient descent is stable up to
    lr near 0.8. The targets are small: from weights of zero no gradient of all rows is longer than 1, from the random start of
    `nn.Linear` none of a batch is longer than 3.
    """
    generator = np.random.default_rng(20260 + columns)  # the rows are the same for every seed: only the fixtures' start differs
    total = rows + VALIDATION_ROWS
    quantiles = [NormalDist().inv_cdf((row + 0.5) / total) for row in range(total)]  # no two values of a column are close
    X = np.column_stack([generator.permutation(quantiles) for _ in range(columns)])
    X = (X - X[:rows].mean(axis=0)) / X[:rows].std(axis=0)
    slopes = 0.3 * (-0.8) ** np.arange(columns) / np.sqrt(min(columns, 3))
    y = 0.2 + X @ slopes + 0.15 * generator.normal(size=total)
    if not standardized:
        repeats = -(-columns // len(_MEANS))
        X = np.tile(_MEANS, repeats)[:columns] + np.tile(_SPREADS, repeats)[:columns] * X
    X, y = X.astype(np.float32).astype(float), y.astype(np.float32).astype(float)
    return Problem(
        X=X[:rows],
        y=y[:rows],
        X_validation=X[rows:],
        y_validation=y[rows:],
        seed=seed,
        target_ndim=target_ndim,
        as_numpy=as_numpy,
        standardized=standardized,
    )
