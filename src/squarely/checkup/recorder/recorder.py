"""Records one run of a training loop by hooks and a mode of torch; nothing of torch stays changed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from squarely.checkup.recorder.autograd import grad_or_none, read_graph, without_hooks
from squarely.checkup.recorder.formula import add_formula_events
from squarely.checkup.recorder.loaders import record_loaders
from squarely.checkup.recorder.parameters import Parameters, to_array
from squarely.checkup.recorder.predictions import Predictions
from squarely.checkup.recorder.schedulers import record_schedulers
from squarely.checkup.recorder.torch_calls import TorchCalls, clipping_on_stack, is_plain
from squarely.checkup.recorder.trace import (
    Backward,
    Comparison,
    Event,
    Forward,
    GradientChange,
    Logged,
    Step,
    Trace,
    Update,
    Values,
    ZeroGrad,
)
from squarely.checkup.recorder.user_lines import user_line
from squarely.numerics import Array

MAX_BACKWARDS = 400  # later events are counted alone: what a loop does wrong it does early


class RunStopped(BaseException):
    """Ends a loop of which enough is recorded."""


class Recorder:
    """Record what torch does inside `with Recorder() as recorder:`; read `recorder.trace` afterwards."""

    def __init__(self, stop_after: int | None = None) -> None:
        self._stop_after = stop_after  # backward passes, after which the loop is stopped
        self.trace = Trace()
        self.parameters = Parameters()
        self.predictions = Predictions()
        self.is_quiet = False
        self.in_optimizer = False
        self._stack = ExitStack()
        self._depth: list[int] = []  # of modules with parameters: the Forward event of the outermost
        self._known: Values = {}
        self._writes: dict[int, Any] = {}
        self._gradients_at_write: Values = {}
        self._sources_at_write: dict[int, tuple[int, ...]] = {}
        self._scales_at_write: dict[int, float] = {}
        self._had_state = False
        self._pending: dict[int, Values] = {}  # values before the step of an optimizer
        self.optimizers: list[Optimizer] = []
        self._used_forwards: set[int] = set()
        self._formula_weights: dict[int, Array] = {}

    def __enter__(self) -> Recorder:
        caught = self._stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        self._stack.callback(lambda: self.trace.warnings.extend(str(warning.message) for warning in caught))
        for handle in (
            register_module_forward_pre_hook(self._before_module),
            register_module_forward_hook(self._after_module, always_call=True),
            register_optimizer_step_pre_hook(self._before_step),
            register_optimizer_step_post_hook(self._after_step),
        ):
            self._stack.callback(handle.remove)
        self._stack.enter_context(record_loaders(self))
        self._stack.enter_context(record_schedulers(self))
        self._stack.enter_context(TorchCalls(self))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()
        self._find_update()
        self.trace.graphs_alive, self.trace.graphs_kept = self.predictions.graphs.alive, self.predictions.graphs.kept
        self.trace.parameters = self.parameters.info
        for number, tensor in self.parameters.tensors.items():
            self.parameters.info[number].requires_grad = tensor.requires_grad
        self.trace.initial, self.trace.final = self.parameters.initial, self.parameters.values()
        add_formula_events(self.trace, self._formula_weights)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Do not record what torch does inside. An exception there ends the reading of this event, not the user's loop."""
        before, self.is_quiet = self.is_quiet, True
        try:
            yield
        except Exception as error:  # noqa: BLE001  # what a tensor that we do not expect may raise
            self.trace.failures.append(f"{type(error).__name__}: {error}")
        finally:
            self.is_quiet = before or self.trace.truncated

    def number_of_optimizer(self, optimizer: Optimizer) -> int:
        """Return the number of an optimizer, the first being 0."""
        for number, known in enumerate(self.optimizers):
            if known is optimizer:
                return number
        self.optimizers.append(optimizer)
        return len(self.optimizers) - 1

    def add(self, kind: type[Event], **fields: Any) -> Any:
        """Append an event with the user's line; return it."""
        event = kind(index=len(self.trace.events), line=user_line(), **fields)
        self.trace.events.append(event)
        return event

    # Forward passes

    def _before_module(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if self.is_quiet or not _has_values(module):
            return
        with self.quiet():
            number = self.parameters.add_module(module)
            inputs = next((value for value in args if isinstance(value, Tensor)), None)
            if self._depth:
                self.predictions.add_inputs(self.trace.events[self._depth[-1]], inputs)
                self._depth.append(self._depth[-1])
                return
            event = self._add_forward(inputs, module=number, module_name=type(module).__name__)
            event.training = all(inner.training for inner in module.modules() if not _is_frozen(inner))
            event.mode_matters = any(isinstance(inner, _MODE_MATTERS) for inner in module.modules())
            self._depth.append(event.index)

    def _after_module(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if not self._depth or self.is_quiet or not _has_values(module):
            return
        with self.quiet():
            index = self._depth.pop()
            outputs = output if isinstance(output, (tuple, list)) else (output,)
            for value in outputs:
                if isinstance(value, Tensor):
                    self.predictions.add(self.trace.events[index], value)

    def _add_forward(self, inputs: Tensor | None, *, module: int | None, module_name: str) -> Forward:
        self._find_update()
        self.predictions.begin_forward()
        event: Forward = self.add(
            Forward,
            inputs=torch.zeros(0, 0).numpy().astype(float),
            outputs=None,
            training=None,
            mode_matters=False,
            grad_enabled=torch.is_grad_enabled(),
            module=module,
            module_name=module_name,
            parameters=dict(self._known),
            dtype="",
            autocast=torch.is_autocast_enabled("cpu"),
            optimizer_step=bool(self._pending),
        )
        self.predictions.add_inputs(event, inputs)
        return event

    def record_product(self, name: str, tensors: list[Tensor], result: Tensor) -> bool:
        """Record inputs times parameters outside of modules."""
        if self._depth:
            return False
        weights = [tensor for tensor in tensors if self._is_parameter(tensor)]
        if not weights:
            return self._record_formula(name, tensors, result)
        inputs = [
            tensor for tensor in tensors if not self._is_parameter(tensor) and not tensor.requires_grad and tensor.numel() > 1
        ]
        if not weights or not inputs or max(inputs, key=Tensor.numel).numel() <= 1:
            return False
        data = max(inputs, key=Tensor.numel)
        if self.predictions.forward_of(data) is not None:
            return False
        for weight in weights:
            self.parameters.add(weight)
        event = self._add_forward(data, module=None, module_name=name)
        self.predictions.add(event, result)
        return True

    def _record_formula(self, name: str, tensors: list[Tensor], result: Tensor) -> bool:
        """Record a product of inputs (B, p) and p numbers that need no gradient: the weights of a loop without autograd."""
        if len(tensors) < 2 or any(tensor.requires_grad for tensor in tensors):
            return False
        inputs, weights = tensors[:2]
        rows = inputs.shape[0] if inputs.dim() == 2 else 0
        if weights.numel() != inputs.numel() / max(rows, 1) or result.numel() != rows or rows <= weights.numel():
            return False
        event = self._add_forward(inputs, module=None, module_name=name)
        self.predictions.add(event, result)
        self._formula_weights[event.index] = to_array(weights)
        return True

    def _is_parameter(self, tensor: Tensor) -> bool:
        return (tensor.requires_grad and tensor.is_leaf) or self.parameters.number_of(tensor) is not None

    def follow_prediction(self, name: str, tensors: list[Tensor], result: Tensor) -> None:
        """Note that `result` has the predictions of one of `tensors`, in another shape, or with a constant or bias added."""
        forward = self.predictions.forward_of(tensors[0])
        source = tensors[0]
        if forward is None and len(tensors) > 1:
            source = tensors[1]
            forward = self.predictions.forward_of(source)
        if forward is None:
            return
        others = [tensor for tensor in tensors if tensor is not source]
        parameters = [tensor for tensor in others if self._is_parameter(tensor)]
        for tensor in parameters:
            self.trace.events[forward].parameters[self.parameters.add(tensor)] = to_array(tensor)
        if all(tensor.numel() == 1 or self._is_parameter(tensor) for tensor in others):
            self.predictions.follow(self.trace.events[forward], result, is_new=bool(parameters) or name == "sum")

    def record_comparison(self, name: str, tensors: list[Tensor], result: Tensor) -> bool:
        """Record an operation of predictions and targets."""
        if len(tensors) < 2:
            return False
        first, second = tensors[:2]
        pair = (first, second) if self.predictions.forward_of(first) is not None else (second, first)
        forward = self.predictions.forward_of(pair[0])
        rows = pair[0].numel()
        if forward is None or self.predictions.forward_of(pair[1]) is not None or self._is_parameter(pair[1]):
            return False
        if pair[1].numel() != rows:
            return False
        shapes = tuple(pair[0].shape), tuple(pair[1].shape)
        event = self.add(
            Comparison,
            forward=forward,
            function=name,
            predictions=to_array(pair[0]),
            targets=to_array(pair[1]),
            prediction_shape=shapes[0],
            target_shape=shapes[1],
            broadcast=rows > 1 and torch.broadcast_shapes(*shapes).numel() == rows * rows,
            target_dtype=str(pair[1].dtype).removeprefix("torch."),
            grad_enabled=torch.is_grad_enabled(),
        )
        self.predictions.add_pair(event, *pair)
        return True

    # Gradients

    def record_backward(self, call: Callable[[], Any], loss: Tensor) -> Any:
        """Record `loss.backward()`; `call` does it."""
        fields = None
        with self.quiet():
            self._find_update()
            self.parameters.observe_gradients()
            fields = self._before_backward(loss)
        result = call()
        if fields is None:
            return result
        with self.quiet():
            change = self.parameters.add_contribution(len(self.trace.events))
            self._add_backward(fields, change, "backward")
        return result

    def record_grad(self, call: Callable[[], Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Record `torch.autograd.grad(loss, parameters)`; `call` does it."""
        outputs = args[0] if args else kwargs.get("outputs")
        inputs = args[1] if len(args) > 1 else kwargs.get("inputs")
        loss = outputs[0] if isinstance(outputs, (tuple, list)) else outputs
        tensors = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
        fields = None
        if isinstance(loss, Tensor) and is_plain(loss):
            with self.quiet():
                fields = self._before_backward(loss)
        else:
            self.trace.functional_calls += 1
        result = call()
        if fields is not None:
            with self.quiet():
                pairs = zip(tensors, result, strict=True)
                change = {
                    self.parameters.add(tensor): to_array(value)
                    for tensor, value in pairs
                    if isinstance(tensor, Tensor) and isinstance(value, Tensor) and tensor.is_leaf
                }
                self.parameters.count_pass()
                self._add_backward(fields, change, "grad")
        return result

    def _before_backward(self, loss: Tensor) -> dict[str, Any]:
        graph = read_graph(loss, self.predictions.graphs)
        numbers = [self.parameters.add(tensor) for tensor in graph.leaves]
        leaves = list(graph.leaves)
        tensors = [self.predictions.tensors[index] for index in graph.predictions if index in self.predictions.tensors]
        known = len(tensors) == len(graph.predictions)
        single = loss.numel() == 1
        gradients = grad_or_none([loss], tensors) if single and known else None
        loss_gradients = {
            index: to_array(gradient)
            for index, gradient in zip(graph.predictions, gradients or (), strict=bool(gradients))
            if gradient is not None
        }
        chain = expected = None
        with without_hooks(leaves):
            if gradients and all(gradient is not None for gradient in gradients):
                chain = self._by_parameter(numbers, grad_or_none(tensors, leaves, [g for g in gradients if g is not None]))
            squares = self.predictions.mean_squares(graph.predictions) if known else None
            if squares is not None:
                expected = self._by_parameter(numbers, grad_or_none([squares], leaves))
        return {
            "loss": float(loss.detach().sum()) if single else float("nan"),
            "forwards": graph.predictions,
            "comparisons": self.predictions.pairs_of(graph.predictions),
            "loss_gradients": loss_gradients,
            "mse_gradient": expected,
            "chain": chain,
            "reached": tuple(numbers),
            "direct": tuple(self.parameters.add(tensor) for tensor in graph.direct),
            "functions": graph.functions,
            "repeated": tuple(sorted(self._used_forwards.intersection(graph.predictions))),
        }

    @staticmethod
    def _by_parameter(numbers: list[int], gradients: list[Tensor | None] | None) -> dict[int, Array] | None:
        if gradients is None:
            return None
        return {number: to_array(value) for number, value in zip(numbers, gradients, strict=True) if value is not None}

    def _add_backward(self, fields: dict[str, Any], contribution: Values, by_call: str) -> None:
        self.trace.backwards += 1
        self._used_forwards.update(fields["forwards"])
        self.predictions.release(fields["forwards"])
        self.predictions.graphs.note_backward()
        index = len(self.trace.events)
        sources = self.parameters.sources if by_call == "backward" else {number: [index] for number in contribution}
        self.add(
            Backward,
            **fields,
            contribution=contribution,
            gradients=self.parameters.gradients() if by_call == "backward" else contribution,
            sources={number: tuple(indices) for number, indices in sources.items()},
            by_call=by_call,
            optimizer_step=bool(self._pending),
        )
        if self.trace.backwards >= MAX_BACKWARDS:
            self.trace.truncated = self.is_quiet = True
        if self._stop_after is not None and self.trace.backwards >= self._stop_after:
            self.trace.truncated = self.is_quiet = True
            raise RunStopped

    def record_zero_grad(self) -> None:
        """Record that gradients are set to 0 or None; a run of such calls is one event."""
        if not isinstance(self.trace.events[-1] if self.trace.events else None, ZeroGrad):
            self.add(ZeroGrad)

    def record_write(self, tensor: object, name: str) -> None:
        """Record an operation in place on a parameter or a gradient."""
        if not isinstance(tensor, Tensor) or not tensor.numel():
            return
        number = self.parameters.owner_of(tensor)
        if number is not None:
            if not self._writes:
                self._gradients_at_write = self.parameters.observe_gradients()
                self._sources_at_write = {known: tuple(passes) for known, passes in self.parameters.sources.items()}
                self._scales_at_write = dict(self.parameters.scales)
            self._writes[number] = user_line()
            return
        pointer = tensor.data_ptr()
        gradients = (known.grad for known in self.parameters.tensors.values() if known.grad is not None)
        if any(gradient.data_ptr() == pointer for gradient in gradients):
            if name in {"zero_", "_foreach_zero_"}:
                self.record_zero_grad()
            elif not isinstance(self.trace.events[-1] if self.trace.events else None, GradientChange):
                function, limit = clipping_on_stack() or (name, None)
                self.add(GradientChange, function=function, limit=limit)

    # Updates

    def _before_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.trace.steps += 1
        if self.is_quiet:
            return
        with self.quiet():
            self._find_update()
            self.parameters.observe_gradients()
            numbers = self._parameters_of(optimizer)
            self._pending[id(optimizer)] = self.parameters.values(numbers)
            self._had_state = _has_state(optimizer)
        self.in_optimizer = not _has_closure(args, kwargs)

    def _parameters_of(self, optimizer: Optimizer) -> list[int]:
        return [self.parameters.add(tensor) for group in optimizer.param_groups for tensor in group["params"]]

    def _after_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.in_optimizer = False
        if self.is_quiet or id(optimizer) not in self._pending:
            return
        with self.quiet():
            numbers = self._parameters_of(optimizer)
            gradients = self.parameters.observe_gradients()
            after = self.parameters.values(numbers)
            groups = optimizer.param_groups
            self._known |= after
            self.add(
                Step,
                optimizer=self.number_of_optimizer(optimizer),
                optimizer_class=type(optimizer).__name__,
                built_in=type(optimizer).__module__.startswith("torch.optim"),
                options={name: value for name, value in groups[0].items() if name != "params"},
                lrs=tuple(float(group.get("lr", float("nan"))) for group in groups),
                parameters=tuple(numbers),
                gradients={number: gradients[number] for number in numbers if number in gradients},
                sources={number: tuple(self.parameters.sources[number]) for number in numbers},
                scales={number: self.parameters.scales[number] for number in numbers},
                before=self._pending.pop(id(optimizer)),
                after=after,
                closure=_has_closure(args, kwargs),
                had_state=self._had_state,
            )

    def _find_update(self) -> None:
        now = self.parameters.values()
        changed = [
            number
            for number, values in now.items()
            if number in self._known and not np.array_equal(values, self._known[number], equal_nan=True)
        ]
        written = [number for number in now if number in changed or (number in self._writes and number in self._known)]
        if written:
            known = bool(self._writes) and bool(self._gradients_at_write)
            event = self.add(
                Update,
                before={number: self._known[number] for number in written},
                after={number: now[number] for number in written},
                gradients=self._gradients_at_write if known else None,
                sources=self._sources_at_write if known else {},
                scales=self._scales_at_write if known else {},
            )
            event.line = next((self._writes[number] for number in written if number in self._writes), event.line)
        self._writes.clear()
        self._known = now

    # Numbers that the loop reads

    def record_read(self, tensor: Tensor, value: float) -> None:
        """Record `tensor.item()`."""
        if tensor.numel() == 1 and tensor.is_floating_point():
            self.add(Logged, value=value, is_loss=tensor.requires_grad or tensor.dim() == 0)


def _has_values(module: nn.Module) -> bool:
    """Return whether a module has parameters, and these have values: not those of a transformation of `torch.func`."""
    first = next(module.parameters(), None)
    return first is not None and is_plain(first)


def _has_closure(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Return whether `optimizer.step` is called with a closure; `args` begins with the optimizer."""
    return len(args) > 1 or kwargs.get("closure") is not None


def _has_state(optimizer: Optimizer) -> bool:
    tensors = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    return any(bool(tensor.any()) for tensor in tensors)


def _is_frozen(module: nn.Module) -> bool:
    """Return whether a batch normalization does not learn; it may stay in evaluation mode."""
    return isinstance(module, nn.modules.batchnorm._NormBase) and not any(tensor.requires_grad for tensor in module.parameters())


_MODE_MATTERS = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase, nn.AlphaDropout)
