"""Types of the public functions: closed lists of words, and the data that they take.

Each list of words is written once. Checks and the command line take the words from it with `typing.get_args`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol, TypedDict, Unpack, cast, overload

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    import torch

Missing = Literal["drop", "raise"]
Collinear = Literal["drop", "raise"]
Precision = Literal["auto", "double", "extended"]
Fold = Literal["auto", "batches", "aggregates"]
Duplicates = Literal["raise", "keep"]
Unseen = Literal["error", "nan"]
RankDeficient = Literal["nan", "allow"]
Correction = Literal["usual", "none", "min"]
Interval = Literal["confidence", "prediction"]
Alternative = Literal["greater", "less", "two-sided"]
GrowthOfSpread = Literal["increasing", "decreasing", "two-sided"]
AuxiliaryColumns = Literal["columns", "fitted"]
ResetType = Literal["fitted", "exog"]
At = Literal["mean"] | Mapping[str, Any]
Slope = Literal["dydx", "eyex", "eydx", "dyex"]
PlotKind = Literal["line", "coefficients", "effects", "residuals", "qq", "scale", "leverage", "diagnostics", "added", "component"]
Below = Literal["se", "t", "p", "ci"]
TableFormat = Literal["text", "html", "markdown", "latex", "csv"]
TableRow = Literal[
    "nobs", "rsquared", "rsquared_adj", "fvalue", "f_pvalue", "df_model", "df_resid", "llf", "aic", "bic", "ssr", "mse_resid",
    "durbin_watson", "condition_number", "cov_type", "rsquared_within", "status", "last_loss",
]  # fmt: skip

Loss = Literal["mse", "l1", "huber", "quantile"]
Metric = Literal["mse", "rmse", "mae", "r2"]
TrainingEngine = Literal["rows", "moments", "closed_form"]
Gradient = Literal["autograd", "closed"]
SchedulerPer = Literal["epoch", "batch"]
Dtype = Literal["float32", "float64"]

# The names of torch's classes, in small letters or as torch has them.
OptimizerName = Literal[
    "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "asgd", "lbfgs", "nadam", "radam", "rmsprop", "rprop", "sgd",
    "Adadelta", "Adafactor", "Adagrad", "Adam", "Adamax", "AdamW", "ASGD", "LBFGS", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD",
]  # fmt: skip
SchedulerName = Literal[
    "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR", "LambdaLR", "LinearLR",
    "MultiStepLR", "MultiplicativeLR", "OneCycleLR", "PolynomialLR", "ReduceLROnPlateau", "StepLR",
]  # fmt: skip

Status = Literal["converged", "epochs used up", "stopped", "finished", "diverged", "not finite"]
Verdict = Literal[
    "agree", "not converged", "batch noise", "fixed order", "penalized", "other loss", "frozen", "ascent", "diverged", "not finite",
    "float32 floor", "float64 floor", "different rows", "other columns", "other units", "intercept", "rounded",
    "collinear", "disagree",
]  # fmt: skip


class TableWithColumns(Protocol):
    """A table with named columns: a DataFrame of pandas, Polars, Spark or Dask, a LazyFrame, or a table of Arrow or Ibis."""

    @property
    def columns(self) -> Any:
        """The columns, or their names."""


class PandasFrame(Protocol):
    """A DataFrame of pandas."""

    @property
    def iat(self) -> Any:
        """The values by their positions, which no other table has."""


class PolarsFrame(Protocol):
    """A DataFrame or a LazyFrame of Polars."""

    def lazy(self) -> Any:
        """Return the frame as a LazyFrame."""


class ArrowTable(Protocol):
    """A table of Arrow."""

    @property
    def column_names(self) -> Any:
        """The names of the columns."""


class ArrowStream(Protocol):
    """An object that exports its rows as a stream of Arrow."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


class ArrowArray(Protocol):
    """An object that exports its rows as one struct array of Arrow."""

    def __arrow_c_array__(self, requested_schema: object | None = None) -> Any: ...


PathLike = str | bytes | os.PathLike[Any]
Data = PathLike | Sequence[PathLike] | IO[Any] | Mapping[str, Any] | TableWithColumns | ArrowStream | ArrowArray


Hypothesis = Any  # text, a mapping of names to values, a matrix of weights, or a pair (matrix, values)


class PredictOptions(TypedDict, total=False):
    """The options of `predict`."""

    read: Mapping[str, object] | None
    unseen: Unseen
    rank_deficient: RankDeficient


class Predict(Protocol):
    """Predict the response for new rows: one value a row, in the library of the rows."""

    @overload
    def __call__(self, new: PathLike | Sequence[PathLike], **options: Unpack[PredictOptions]) -> pd.Series: ...
    @overload
    def __call__(self, new: Mapping[str, Any] | np.ndarray, **options: Unpack[PredictOptions]) -> np.ndarray: ...
    @overload
    def __call__(self, new: PandasFrame, **options: Unpack[PredictOptions]) -> pd.Series: ...
    @overload
    def __call__(self, new: ArrowTable, **options: Unpack[PredictOptions]) -> pa.ChunkedArray: ...
    @overload
    def __call__(self, new: PolarsFrame, **options: Unpack[PredictOptions]) -> pl.Series: ...
    @overload
    def __call__(self, new: Data | None = None, **options: Unpack[PredictOptions]) -> Any: ...
    @overload
    def __call__(
        self,
        new: Data | None = None,
        *,
        interval: Interval,
        level: float = 0.95,
        weights: str | float | None = None,
        **options: Unpack[PredictOptions],
    ) -> Any: ...


def typed_predict(method: Callable[..., Any]) -> Predict:
    """Decorate a method `predict`: the type of its result follows from the type of the rows."""
    return cast(Predict, method)


class SweepOptions(TypedDict, total=False):
    """The options of `train` that `sweep` takes, too, one value each."""

    epochs: int
    shuffle: bool
    replacement: bool
    metrics: Metric | Sequence[Metric]
    loss: Loss
    delta: float
    quantile: float
    optimizer: OptimizerName | Callable[..., object] | torch.optim.Optimizer
    nesterov: bool
    optimizer_options: Mapping[str, object] | None
    scheduler: SchedulerName | Callable[..., object] | torch.optim.lr_scheduler.LRScheduler | None
    scheduler_options: Mapping[str, object] | None
    scheduler_per: SchedulerPer
    clip_grad_norm: float | None
    average: int | bool | None
    stop: str | None
    patience: int
    min_delta: float
    callbacks: Callable[..., object] | Sequence[Callable[..., object]]
    engine: TrainingEngine
    standardize: bool
    dtype: Dtype | torch.dtype
    device: str
    start: Sequence[float] | None


class FitOptions(TypedDict, total=False):
    """The arguments beside a formula and data that say which rows to use, and how often each counts."""

    where: str | None
    missing: Missing
    read: Mapping[str, object] | None
    weights: object
    frequencies: object


class TrainOptions(FitOptions, SweepOptions, total=False):
    """The arguments of `train` beside a formula and data, which `certify` takes, too."""

    lr: float | Literal["auto"]
    batch_size: int | None
    seed: int
    momentum: float
    weight_decay: float | None
    validation: float | Data | None
    gradient: Gradient
    stream: bool | None
    checkpoint: str | os.PathLike[str] | None
    checkpoint_every: str | None
    resume: bool | str | os.PathLike[str]
