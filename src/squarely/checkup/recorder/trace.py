"""The record of one run of a training loop: events in the order in which they happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from squarely.checkup.findings import SourceLine
from squarely.numerics import Array

Values = dict[int, Array]  # flat values by the number of the parameter


@dataclass(slots=True, kw_only=True)
class ParameterInfo:
    """A tensor that requires a gradient, or belongs to a model that was called.

    Attributes
    ----------
    name : "weight" or "layer.bias"; "tensor 0" for one that belongs to no module.
    shape : of the tensor.
    requires_grad : at the end of the run.
    in_module : whether a module that was called has it.
    module : the number of that module; None for a tensor that belongs to no module.
    dtype : "float32" and so on.
    """

    name: str
    shape: tuple[int, ...]
    requires_grad: bool
    in_module: bool
    module: int | None
    dtype: str


@dataclass(slots=True, kw_only=True)
class Event:
    """Anything that happened.

    Attributes
    ----------
    index : the position among all events of the run.
    line : the user's line that caused it.
    """

    index: int
    line: SourceLine | None


@dataclass(slots=True, kw_only=True)
class Forward(Event):
    """A model was called, or inputs were multiplied by a parameter.

    Attributes
    ----------
    inputs : (B, p) the inputs.
    outputs : (B,) the predictions; None if the output does not have one number a row.
    training : whether the module and all its submodules are in training mode; None without a module.
    mode_matters : whether the module has dropout or batch normalization.
    grad_enabled : whether autograd was recording.
    module : the number of the module; None without one.
    module_name : its class.
    parameters : values of all parameters at this time.
    dtype, autocast : of the inputs; whether autocast was on.
    optimizer_step : whether it happened inside `optimizer.step(closure)`.
    """

    inputs: Array
    outputs: Array | None
    training: bool | None
    mode_matters: bool
    grad_enabled: bool
    module: int | None
    module_name: str
    parameters: Values
    dtype: str
    autocast: bool
    optimizer_step: bool


@dataclass(slots=True, kw_only=True)
class TargetComparison(Event):
    """Predictions and targets met in an operation, such as a difference or a loss function.

    Attributes
    ----------
    forward : the index of the Forward event that made the predictions.
    function : "mse_loss", "sub", ...
    predictions, targets : flat values.
    prediction_shape, target_shape : shapes.
    broadcast : whether (B, 1) met (B,) and the result has B x B numbers.
    target_dtype : "float32" and so on.
    grad_enabled : whether autograd was recording.
    """

    forward: int
    function: str
    predictions: Array
    targets: Array
    prediction_shape: tuple[int, ...]
    target_shape: tuple[int, ...]
    broadcast: bool
    target_dtype: str
    grad_enabled: bool


@dataclass(slots=True, kw_only=True)
class Backward(Event):
    """A gradient was computed, by `loss.backward()` or `torch.autograd.grad`.

    Attributes
    ----------
    loss : the value, for a loss of one number.
    forwards : indices of the Forward events in the graph of the loss.
    comparisons : indices of the TargetComparison events in the graph.
    loss_gradients : (B,) for each of `forwards`, the derivative of the loss by the predictions; None where unknown.
    mse_gradient : the gradient of the mean squared error of those pairs, by parameter; None where unknown.
    contribution : what this backward pass added to the gradients, by parameter.
    gradients : what the gradients are then.
    sources : for each of `gradients`, the indices of the Backward events whose contributions it holds.
    chain : the part of `contribution` that comes through the predictions: loss_gradients times the Jacobian; None where unknown.
    reached : parameters in the graph of the loss.
    direct : parameters that the loss uses apart from the predictions, as a penalty does.
    functions : names of the autograd functions between the loss and the predictions.
    repeated : indices of the forwards in the graph that an earlier backward pass had used.
    by_call : "backward" or "grad".
    optimizer_step : whether it happened inside `optimizer.step(closure)`.
    """

    loss: float
    forwards: tuple[int, ...]
    comparisons: tuple[int, ...]
    loss_gradients: dict[int, Array]
    mse_gradient: Values | None
    contribution: Values
    gradients: Values
    sources: dict[int, tuple[int, ...]]
    chain: Values | None
    reached: tuple[int, ...]
    direct: tuple[int, ...]
    functions: tuple[str, ...]
    repeated: tuple[int, ...]
    by_call: str
    optimizer_step: bool


@dataclass(slots=True, kw_only=True)
class Step(Event):
    """`optimizer.step()`.

    Attributes
    ----------
    optimizer : the number of the optimizer.
    optimizer_class : its class; `built_in` tells whether it is one of torch.
    options : of the first group: lr, momentum, weight_decay, ...
    lrs : the learning rate of each group.
    parameters : the numbers of its parameters.
    gradients : at the step; a parameter without a gradient is absent.
    sources : for each parameter, the indices of the Backward events whose contributions its gradient holds.
    scales : for each parameter, the factor by which the gradient was multiplied after the backward pass, 1 if it was not;
        NaN if it was changed otherwise.
    before, after : values of the parameters.
    closure : whether it was called with a closure.
    had_state : whether it had a momentum or another state before.
    """

    optimizer: int
    optimizer_class: str
    built_in: bool
    options: Mapping[str, object]
    lrs: tuple[float, ...]
    parameters: tuple[int, ...]
    gradients: Values
    sources: dict[int, tuple[int, ...]]
    scales: dict[int, float]
    before: Values
    after: Values
    closure: bool
    had_state: bool


@dataclass(slots=True, kw_only=True)
class Update(Event):
    """Parameters changed without an optimizer.

    Attributes
    ----------
    before, after : values of the parameters that changed, or were written.
    gradients, sources, scales : as of a Step, at the first write; `gradients` is None without a write or a gradient.
    """

    before: Values
    after: Values
    gradients: Values | None = None
    sources: dict[int, tuple[int, ...]] = field(default_factory=dict)
    scales: dict[int, float] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class ZeroGrad(Event):
    """`zero_grad()`, `p.grad = None` or `p.grad.zero_()`."""


@dataclass(slots=True, kw_only=True)
class GradientChange(Event):
    """A gradient was changed between the backward pass and the step.

    Attributes
    ----------
    function : "clip_grad_norm_", "clip_grad_value_", or the operation of the user.
    limit : of the clipping; None without one.
    """

    function: str
    limit: float | None


@dataclass(slots=True, kw_only=True)
class SchedulerStep(Event):
    """`scheduler.step()`.

    Attributes
    ----------
    scheduler, scheduler_class : its number and class.
    options : numbers that it was made with: step_size, T_max, gamma, total_steps, milestones, ...
    optimizer : the number of its optimizer.
    """

    scheduler: int
    scheduler_class: str
    options: Mapping[str, object]
    optimizer: int


@dataclass(slots=True, kw_only=True)
class LoaderStart(Event):
    """An iteration over a DataLoader began.

    Attributes
    ----------
    loader : its number.
    rows : of its dataset.
    batch_size, drop_last : of the loader; None if it has no batch size.
    sampler : the class of its sampler, such as "SequentialSampler".
    rng_state : a hash of torch's random state at this time.
    """

    loader: int
    rows: int | None
    batch_size: int | None
    drop_last: bool
    sampler: str
    rng_state: int


@dataclass(slots=True, kw_only=True)
class Logged(Event):
    """A tensor of one number was read with `item()` or `float()`."""

    value: float
    is_loss: bool


@dataclass(slots=True, kw_only=True)
class Trace:
    """All that was recorded of one run.

    Attributes
    ----------
    events : in order.
    parameters : by number.
    initial, final : values of the parameters when first seen and at the end.
    steps, backwards : all of the run, also those after the limit of `events`.
    truncated : whether the run went on after the limit.
    graphs_alive : the largest number of graphs, older than the last two batches, that were in memory at one time.
    graphs_kept : how many graphs were in memory when two later batches had been trained on.
    plain_tensors : attributes of the models called that are tensors of numbers, and neither parameters nor buffers.
    functional_calls : operations inside transformations of `torch.func`, whose values cannot be read.
    failures : what the recorder could not read.
    permutations : how many times torch drew a random order.
    warnings : messages of warnings.
    """

    events: list[Event] = field(default_factory=list)
    parameters: dict[int, ParameterInfo] = field(default_factory=dict)
    initial: Values = field(default_factory=dict)
    final: Values = field(default_factory=dict)
    steps: int = 0
    backwards: int = 0
    truncated: bool = False
    graphs_alive: int = 0
    graphs_kept: int = 0
    plain_tensors: list[str] = field(default_factory=list)
    functional_calls: int = 0
    failures: list[str] = field(default_factory=list)
    permutations: int = 0
    warnings: list[str] = field(default_factory=list)
