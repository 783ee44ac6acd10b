"""Loops that compute the gradient by a formula, without autograd: what their predictions and targets tell."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from squarely.checkup.recorder.trace import Backward, Event, Forward, ParameterInfo, TargetComparison, Trace, Update
from squarely.numerics import Array

_LEAST = 4  # products with different weights, below which there is no loop


@dataclass(frozen=True, slots=True)
class _Pass:
    """A forward pass with its targets and weights."""

    forward: Forward
    comparison: TargetComparison
    weights: Array

    @property
    def gradient(self) -> Array:
        residuals = self.comparison.predictions - self.comparison.targets
        return 2 / len(residuals) * (self.forward.inputs.T @ residuals)


def add_formula_events(trace: Trace, weights: dict[int, Array]) -> None:
    """Add a backward pass for each product of inputs and `weights` that met targets, and an update where these changed.

    `weights` has the values by the Forward event. The gradient of the loop itself is not known: that of the mean squared error
    stands for it, so that a rule can compare each update with it.
    """
    passes = _find_passes(trace, weights)
    if trace.backwards or len({one.weights.tobytes() for one in passes}) < _LEAST:
        return
    sizes = {len(one.weights) for one in passes}
    if len(sizes) > 1:
        return
    number = len(trace.parameters)
    trace.parameters[number] = ParameterInfo(
        name="weights", shape=passes[0].weights.shape, requires_grad=True, in_module=False, module=None, dtype="float32"
    )
    trace.initial[number], trace.final[number] = passes[0].weights, passes[-1].weights
    trace.backwards = len(passes)
    trace.events = _insert(trace.events, passes, number)


def _find_passes(trace: Trace, weights: dict[int, Array]) -> list[_Pass]:
    first: dict[int, TargetComparison] = {}
    for event in trace.events:
        if isinstance(event, TargetComparison) and event.forward in weights:
            first.setdefault(event.forward, event)
    forwards = ((trace.events[index], pair) for index, pair in first.items())
    passes = [
        _Pass(forward, pair, weights[forward.index])
        for forward, pair in forwards
        if isinstance(forward, Forward) and len(forward.inputs) == len(pair.targets)
    ]
    # Of passes with the same weights, all but the last are evaluations.
    return [one for one, after in pairwise(passes) if not np.array_equal(one.weights, after.weights)] + passes[-1:]


def _insert(events: list[Event], passes: list[_Pass], number: int) -> list[Event]:
    by_forward = {one.forward.index: one for one in passes}
    by_comparison = {one.comparison.index: one for one in passes}
    places: dict[int, int] = {}
    new: list[Event] = []
    before: Array | None = None
    for event in events:
        if event.index in by_forward:
            values = by_forward[event.index].weights
            if before is not None and not np.array_equal(values, before):
                new.append(Update(index=len(new), line=event.line, before={number: before}, after={number: values}))
            before = values
        old, event.index = event.index, len(new)
        places[old] = event.index
        if isinstance(event, TargetComparison):
            event.forward = places[event.forward]
        new.append(event)
        if old in by_comparison:
            new.append(_backward(by_comparison[old], len(new), number))
    return new


def _backward(one: _Pass, index: int, number: int) -> Backward:
    gradient = {number: one.gradient}
    return Backward(
        index=index,
        line=one.comparison.line,
        loss=float(np.mean((one.comparison.predictions - one.comparison.targets) ** 2)),
        forwards=(one.forward.index,),
        comparisons=(one.comparison.index,),
        loss_gradients={},
        mse_gradient=gradient,
        contribution=gradient,
        gradients=gradient,
        sources={number: (index,)},
        chain=None,
        reached=(number,),
        direct=(),
        functions=(),
        repeated=(),
        by_call="formula",
        optimizer_step=False,
    )
