"""`TrainingOptions`: every choice that decides a training run besides its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, get_args

from squarely.reprs import short_repr
from squarely.theory import Descent
from squarely.types import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterGroup:
    """One parameter group of a torch optimizer; None for an option that its kind does not have."""

    __repr__ = short_repr

    kind: str  # torch's name in small letters ("sgd", "adamw", ...), or the name of a class that is not torch's
    parameters: tuple[str, ...]  # names of those that it moves, without frozen ones (requires_grad=False)
    lr: float  # before any scheduler changes it; NaN where the optimizer has none
    momentum: float | None = None
    dampening: float | None = None
    nesterov: bool = False
    weight_decay: float | None = None
    decoupled: bool = False  # whether the decay bypasses the gradient (AdamW)
    maximize: bool = False

    @property
    def descent(self) -> Descent | None:
        """The recurrence of its updates in `theory`, None if there is none."""
        momentum = self.momentum or 0.0
        if self.kind != "sgd" or self.maximize or (momentum and self.dampening) or not momentum < 1:  # from 1 on none converges
            return None
        return Descent(lr=self.lr, momentum=momentum, nesterov=self.nesterov, weight_decay=self.weight_decay or 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """How to train. `check_options` converts the values of a user to plain types.

    Attributes
    ----------
    lr : learning rate, as torch's optimizers take it; "auto" for the best rate on this spectrum, or torch's default where theory
        has none. An optimizer of the user's own has its own.
    epochs : passes over the rows; the loss is logged at epochs 0 to `epochs`, each before the updates that follow it.
    optimizer : a torch optimizer by name ("sgd", "adam", "adamw", "lbfgs", ...), its class, a function of the parameters, or an
        optimizer of the user's own model.
    momentum, nesterov : SGD's. `weight_decay` : the optimizer's, None for its default.
    optimizer_options : its other options, by torch's names.
    scheduler : a torch scheduler by name ("StepLR", ...), its class, a function of the optimizer, or a scheduler of the optimizer
        that is passed; `scheduler_options` are its options.
    scheduler_per : "epoch" or "batch": when it steps.
    loss : "mse", "l1", "huber" (with `delta`) or "quantile" (with `quantile`), a mean over rows in standardized units.
    batch_size : rows in a step, None for all of them.
    shuffle : whether each epoch has its own order; `replacement`, whether rows are drawn independently instead.
    clip_grad_norm : the longest gradient that a step uses, None for any.
    average : the epoch from which the iterates are averaged, None for no average, True for half of the epochs.
    stop : "0.01 se", "loss" or "validation"; the last two wait `patience` epochs for a gain of `min_delta`.
    callbacks : a function or several that are called at every epoch; one that returns True ends the run.
    metrics : logged beside the loss, in the unit of the response: "mse", "rmse", "mae", "r2".
    engine : "rows", "moments" or "closed_form".
    gradient : "autograd" or "closed".
    stream : whether rows are read again each epoch, through a buffer; None streams tables that are too large for memory.
    standardize : whether columns and response are standardized.
    dtype : "float32" or "float64".
    seed : of the model's random start and of every order of the rows.
    device : "auto" (cuda:0 if there is one, else cpu) or a name that torch knows.
    start : the standardized coefficients to start from, the intercept first; None for nn.Linear's random start.
    parameter_groups : the parameter groups of the optimizer once it exists, empty before. `lr`, `momentum`, `nesterov` and
        `weight_decay` of a user's own optimizer are then those of the first group.
    """

    __repr__ = short_repr

    lr: float | str = "auto"
    epochs: int = 1000
    optimizer: Any = "sgd"
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float | None = None
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    scheduler: Any = None
    scheduler_options: Mapping[str, Any] = field(default_factory=dict)
    scheduler_per: str = "epoch"
    loss: str = "mse"
    delta: float = 1.0
    quantile: float = 0.5
    batch_size: int | None = None
    shuffle: bool = True
    replacement: bool = False
    clip_grad_norm: float | None = None
    average: int | bool | None = None
    stop: str | None = None
    patience: int = 10
    min_delta: float = 0.0
    metrics: Sequence[str] = ()
    callbacks: Any = ()
    engine: str = "rows"
    gradient: str = "autograd"
    stream: bool | None = None
    standardize: bool = True
    dtype: str = "float32"
    seed: int = 0
    device: str = "auto"
    start: Sequence[float] | None = None
    parameter_groups: tuple[ParameterGroup, ...] = ()

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the options; `parameter_groups` is a result and not one of them."""
        return tuple(each.name for each in fields(cls) if each.name != "parameter_groups")

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> TrainingOptions:
        """Take the options out of the arguments of a public function; the others keep their defaults."""
        own = {name: arguments[name] for name in cls.names() if name in arguments}
        return cls(**{name: {} if value is None and name.endswith("_options") else value for name, value in own.items()})

    @property
    def rate(self) -> float:
        """The learning rate as a number, once "auto" is resolved."""
        if isinstance(self.lr, str):
            raise TypeError("lr='auto' is not resolved")
        return self.lr

    @property
    def descent(self) -> Descent | None:
        """The recurrence of an update in `theory`; None where there is no closed form, as for Adam."""
        if self.loss != "mse" or self.clip_grad_norm is not None:
            return None
        if self.parameter_groups:
            first, *others = (group.descent for group in self.parameter_groups if group.parameters)
            return first if all(other == first for other in others) else None
        if self.optimizer != "sgd" or self.optimizer_options:
            return None
        decay = self.weight_decay or 0.0
        return Descent(lr=self.rate, momentum=self.momentum, nesterov=self.nesterov, weight_decay=decay)

    @property
    def is_full_batch(self) -> bool:
        """Whether every step uses all rows."""
        return self.batch_size is None


LOSS_NAMES = {"mse": "MSELoss", "l1": "L1Loss", "huber": "HuberLoss", "quantile": "quantile (pinball) loss"}

METRICS = get_args(Metric)
BATCH_SCHEDULERS = ("CyclicLR", "OneCycleLR")  # whose steps torch counts in batches
