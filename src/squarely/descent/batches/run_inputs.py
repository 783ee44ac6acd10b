"""What one run reads: its columns, its rows and the noise of their gradient, resolved once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from squarely.data import RowAccount
from squarely.descent.batches.batch_source import BatchSource
from squarely.moments import StandardizedProblem
from squarely.theory import Noise, Spectrum


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RunInputs:
    """What one run reads.

    Attributes
    ----------
    problem, spectrum : the standardized columns and response, and the spectrum of the Hessian (2/n) X'X.
    standardized_kappa : kappa of standardized columns, if those of the problem are not; None also if a column is constant.
    batches : the rows to train on.
    validation, validation_account : the rows to validate on and their account, if there are any.
    is_streamed : whether the rows are read again in each epoch.
    has_even_batches : whether all epochs have the same rows, and all batches but the last the same size.
    remarks : sentences on how the rows are read.
    gradient_noise : computes what single rows add to the gradient, at the first call.
    """

    problem: StandardizedProblem
    spectrum: Spectrum
    standardized_kappa: float | None
    batches: BatchSource
    validation: BatchSource | None
    validation_account: RowAccount | None
    is_streamed: bool
    has_even_batches: bool
    remarks: tuple[str, ...]
    gradient_noise: Callable[[], Noise]
