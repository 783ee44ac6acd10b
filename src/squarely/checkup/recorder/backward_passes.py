"""Backward passes: the gradients that they give, and those that they should give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from squarely.checkup.recorder.event_log import EventLog
from squarely.checkup.recorder.functional import is_plain
from squarely.checkup.recorder.tensors.autograd import grad_or_none, read_graph, without_hooks
from squarely.checkup.recorder.tensors.parameters import Parameters, to_array
from squarely.checkup.recorder.tensors.predictions import Predictions
from squarely.checkup.recorder.trace import Backward, Values
from squarely.checkup.recorder.updates import UpdateRecorder
from squarely.numerics import Array

MAX_BACKWARDS = 400  # later events are counted alone: what a loop does wrong it does early


class RunStopped(BaseException):
    """Ends a loop of which enough is recorded."""


class BackwardRecorder:
    """Records `loss.backward()` and `torch.autograd.grad`."""

    def __init__(
        self, log: EventLog, parameters: Parameters, predictions: Predictions, updates: UpdateRecorder, *, stop_after: int | None
    ) -> None:
        self._log = log
        self._parameters = parameters
        self._predictions = predictions
        self._updates = updates
        self._stop_after = stop_after  # backward passes, after which the loop is stopped
        self._used_forwards: set[int] = set()

    def record_backward(self, call: Callable[[], Any], loss: Tensor) -> Any:
        """Record `loss.backward()`; `call` does it."""
        fields = None
        with self._log.quiet():
            self._updates.find_update()
            self._parameters.observe_gradients()
            fields = self._before_backward(loss)
        result = call()
        if fields is None:
            return result
        with self._log.quiet():
            change = self._parameters.add_contribution(len(self._log.trace.events))
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
            with self._log.quiet():
                fields = self._before_backward(loss)
        else:
            self._log.trace.functional_calls += 1
        result = call()
        if fields is not None:
            with self._log.quiet():
                pairs = zip(tensors, result, strict=True)
                change = {
                    self._parameters.add(tensor): to_array(value)
                    for tensor, value in pairs
                    if isinstance(tensor, Tensor) and isinstance(value, Tensor) and tensor.is_leaf
                }
                self._parameters.count_pass()
                self._add_backward(fields, change, "grad")
        return result

    def _before_backward(self, loss: Tensor) -> dict[str, Any]:
        graph = read_graph(loss, self._predictions.graphs)
        numbers = [self._parameters.add(tensor) for tensor in graph.leaves]
        leaves = list(graph.leaves)
        tensors = [self._predictions.tensors[index] for index in graph.predictions if index in self._predictions.tensors]
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
            squares = self._predictions.mean_squares(graph.predictions) if known else None
            if squares is not None:
                expected = self._by_parameter(numbers, grad_or_none([squares], leaves))
        return {
            "loss": float(loss.detach().sum()) if single else float("nan"),
            "forwards": graph.predictions,
            "comparisons": self._predictions.pairs_of(graph.predictions),
            "loss_gradients": loss_gradients,
            "mse_gradient": expected,
            "chain": chain,
            "reached": tuple(numbers),
            "direct": tuple(self._parameters.add(tensor) for tensor in graph.direct),
            "functions": graph.functions,
            "repeated": tuple(sorted(self._used_forwards.intersection(graph.predictions))),
        }

    @staticmethod
    def _by_parameter(numbers: list[int], gradients: list[Tensor | None] | None) -> dict[int, Array] | None:
        if gradients is None:
            return None
        return {number: to_array(value) for number, value in zip(numbers, gradients, strict=True) if value is not None}

    def _add_backward(self, fields: dict[str, Any], contribution: Values, by_call: str) -> None:
        self._log.trace.backwards += 1
        self._used_forwards.update(fields["forwards"])
        self._predictions.release(fields["forwards"])
        self._predictions.graphs.note_backward()
        index = len(self._log.trace.events)
        sources = self._parameters.sources if by_call == "backward" else {number: [index] for number in contribution}
        self._log.add(
            Backward,
            **fields,
            contribution=contribution,
            gradients=self._parameters.gradients() if by_call == "backward" else contribution,
            sources={number: tuple(indices) for number, indices in sources.items()},
            by_call=by_call,
            optimizer_step=self._updates.is_stepping,
        )
        if self._log.trace.backwards >= MAX_BACKWARDS:
            self._log.end()
        if self._stop_after is not None and self._log.trace.backwards >= self._stop_after:
            self._log.end()
            raise RunStopped
