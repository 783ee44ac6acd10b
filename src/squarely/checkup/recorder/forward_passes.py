"""Forward passes: the modules that are called, products of inputs and parameters, and the targets that predictions meet."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from squarely.checkup.recorder.event_log import EventLog
from squarely.checkup.recorder.functional import is_plain
from squarely.checkup.recorder.tensors.parameters import Parameters, to_array
from squarely.checkup.recorder.tensors.predictions import Predictions
from squarely.checkup.recorder.trace import Forward, Logged, TargetComparison
from squarely.checkup.recorder.updates import UpdateRecorder
from squarely.numerics import Array


class ForwardRecorder:
    """Records forward passes, and follows predictions to their targets."""

    def __init__(self, log: EventLog, parameters: Parameters, predictions: Predictions, updates: UpdateRecorder) -> None:
        self._log = log
        self._parameters = parameters
        self._predictions = predictions
        self._updates = updates
        self._depth: list[int] = []  # of modules with parameters: the Forward event of the outermost
        self.formula_weights: dict[int, Array] = {}  # by Forward event of a loop without autograd

    def before_module(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Note that a module is called: a hook of torch for all modules."""
        if self._log.is_quiet or not _has_values(module):
            return
        with self._log.quiet():
            number = self._parameters.add_module(module)
            inputs = next((value for value in args if isinstance(value, Tensor)), None)
            if self._depth:
                self._predictions.add_inputs(self._log.trace.events[self._depth[-1]], inputs)
                self._depth.append(self._depth[-1])
                return
            event = self._add_forward(inputs, module=number, module_name=type(module).__name__)
            event.training = all(inner.training for inner in module.modules() if not _is_frozen(inner))
            event.mode_matters = any(isinstance(inner, _MODE_MATTERS) for inner in module.modules())
            self._depth.append(event.index)

    def after_module(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """Note what a module returns: a hook of torch for all modules."""
        if not self._depth or self._log.is_quiet or not _has_values(module):
            return
        with self._log.quiet():
            index = self._depth.pop()
            outputs = output if isinstance(output, (tuple, list)) else (output,)
            for value in outputs:
                if isinstance(value, Tensor):
                    self._predictions.add(self._log.trace.events[index], value)

    def _add_forward(self, inputs: Tensor | None, *, module: int | None, module_name: str) -> Forward:
        self._updates.find_update()
        self._predictions.begin_forward()
        event: Forward = self._log.add(
            Forward,
            inputs=torch.zeros(0, 0).numpy().astype(float),
            outputs=None,
            training=None,
            mode_matters=False,
            grad_enabled=torch.is_grad_enabled(),
            module=module,
            module_name=module_name,
            parameters=dict(self._updates.known),
            dtype="",
            autocast=torch.is_autocast_enabled("cpu"),
            optimizer_step=self._updates.is_stepping,
        )
        self._predictions.add_inputs(event, inputs)
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
        if self._predictions.forward_of(data) is not None:
            return False
        for weight in weights:
            self._parameters.add(weight)
        event = self._add_forward(data, module=None, module_name=name)
        self._predictions.add(event, result)
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
        self._predictions.add(event, result)
        self.formula_weights[event.index] = to_array(weights)
        return True

    def _is_parameter(self, tensor: Tensor) -> bool:
        return (tensor.requires_grad and tensor.is_leaf) or self._parameters.number_of(tensor) is not None

    def follow_prediction(self, name: str, tensors: list[Tensor], result: Tensor) -> None:
        """Note that `result` has the predictions of one of `tensors`, in another shape, or with a constant or bias added."""
        forward = self._predictions.forward_of(tensors[0])
        source = tensors[0]
        if forward is None and len(tensors) > 1:
            source = tensors[1]
            forward = self._predictions.forward_of(source)
        if forward is None:
            return
        others = [tensor for tensor in tensors if tensor is not source]
        parameters = [tensor for tensor in others if self._is_parameter(tensor)]
        event: Any = self._log.trace.events[forward]
        for tensor in parameters:
            event.parameters[self._parameters.add(tensor)] = to_array(tensor)
        if all(tensor.numel() == 1 or self._is_parameter(tensor) for tensor in others):
            self._predictions.follow(event, result, is_new=bool(parameters) or name == "sum")

    def record_comparison(self, name: str, tensors: list[Tensor], result: Tensor) -> bool:
        """Record an operation of predictions and targets."""
        if len(tensors) < 2:
            return False
        first, second = tensors[:2]
        pair = (first, second) if self._predictions.forward_of(first) is not None else (second, first)
        forward = self._predictions.forward_of(pair[0])
        rows = pair[0].numel()
        if forward is None or self._predictions.forward_of(pair[1]) is not None or self._is_parameter(pair[1]):
            return False
        if pair[1].numel() != rows:
            return False
        shapes = tuple(pair[0].shape), tuple(pair[1].shape)
        event = self._log.add(
            TargetComparison,
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
        self._predictions.add_pair(event, *pair)
        return True

    def record_read(self, tensor: Tensor, value: float) -> None:
        """Record `tensor.item()`."""
        if tensor.numel() == 1 and tensor.is_floating_point():
            self._log.add(Logged, value=value, is_loss=tensor.requires_grad or tensor.dim() == 0)


def _has_values(module: nn.Module) -> bool:
    """Return whether a module has parameters, and these have values: not those of a transformation of `torch.func`."""
    first = next(module.parameters(), None)
    return first is not None and is_plain(first)


def _is_frozen(module: nn.Module) -> bool:
    """Return whether a batch normalization does not learn; it may stay in evaluation mode."""
    return isinstance(module, nn.modules.batchnorm._NormBase) and not any(tensor.requires_grad for tensor in module.parameters())


_MODE_MATTERS = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase, nn.AlphaDropout)
