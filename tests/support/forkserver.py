"""What the forkserver imports: all that a first run of training imports, which would take seconds in each process."""

import warnings

import squarely as sq
from squarely.errors import ConvergenceWarning
from tests.support import process_group  # noqa: F401  # the functions that the processes run

with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
    sq.train("y ~ x", {"x": [1.0, 2.0, 3.0, 4.0], "y": [1.0, 3.0, 2.0, 5.0]}, epochs=1, lr=0.1)
