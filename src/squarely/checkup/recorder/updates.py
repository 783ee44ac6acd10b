"""How parameters change: by the steps of optimizers, and by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor
from torch.optim import Optimizer

from squarely.checkup.findings import SourceLine
from squarely.checkup.recorder.clipping import clipping_on_stack
from squarely.checkup.recorder.event_log import EventLog
from squarely.checkup.recorder.tensors.parameters import Parameters
from squarely.checkup.recorder.trace import GradientChange, Step, Update, Values, ZeroGrad
from squarely.checkup.recorder.user_lines import user_line


class UpdateRecorder:
    """Records steps of optimizers, and changes of parameters and gradients outside of them."""

    def __init__(self, log: EventLog, parameters: Parameters) -> None:
        self._log = log
        self._parameters = parameters
        self.known: Values = {}  # the values of all parameters when they were last read
        self._writes: dict[int, SourceLine | None] = {}
        self._gradients_at_write: Values = {}
        self._sources_at_write: dict[int, tuple[int, ...]] = {}
        self._scales_at_write: dict[int, float] = {}
        self._had_state = False
        self._pending: dict[int, Values] = {}  # by optimizer: values before its step

    @property
    def is_stepping(self) -> bool:
        """Whether an optimizer steps, as when it calls a closure."""
        return bool(self._pending)

    def before_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note that an optimizer steps: a hook of torch for all optimizers."""
        self._log.trace.steps += 1
        if self._log.is_quiet:
            return
        with self._log.quiet():
            self.find_update()
            self._parameters.observe_gradients()
            numbers = self._parameters_of(optimizer)
            self._pending[id(optimizer)] = self._parameters.values(numbers)
            self._had_state = _has_state(optimizer)
        self._log.in_optimizer = not _has_closure(args, kwargs)

    def after_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Record the step that ends: a hook of torch for all optimizers."""
        self._log.in_optimizer = False
        if self._log.is_quiet or id(optimizer) not in self._pending:
            return
        with self._log.quiet():
            numbers = self._parameters_of(optimizer)
            gradients = self._parameters.observe_gradients()
            after = self._parameters.values(numbers)
            groups = optimizer.param_groups
            self.known |= after
            self._log.add(
                Step,
                optimizer=self._log.number_of_optimizer(optimizer),
                optimizer_class=type(optimizer).__name__,
                built_in=type(optimizer).__module__.startswith("torch.optim"),
                options={name: value for name, value in groups[0].items() if name != "params"},
                lrs=tuple(float(group.get("lr", float("nan"))) for group in groups),
                parameters=tuple(numbers),
                gradients={number: gradients[number] for number in numbers if number in gradients},
                sources={number: tuple(self._parameters.sources[number]) for number in numbers},
                scales={number: self._parameters.scales[number] for number in numbers},
                before=self._pending.pop(id(optimizer)),
                after=after,
                closure=_has_closure(args, kwargs),
                had_state=self._had_state,
            )

    def find_update(self) -> None:
        """Record that parameters have changed, if they have, since they were last read."""
        now = self._parameters.values()
        changed = [
            number
            for number, values in now.items()
            if number in self.known and not np.array_equal(values, self.known[number], equal_nan=True)
        ]
        written = [number for number in now if number in changed or (number in self._writes and number in self.known)]
        if written:
            known = bool(self._writes) and bool(self._gradients_at_write)
            event = self._log.add(
                Update,
                before={number: self.known[number] for number in written},
                after={number: now[number] for number in written},
                gradients=self._gradients_at_write if known else None,
                sources=self._sources_at_write if known else {},
                scales=self._scales_at_write if known else {},
            )
            event.line = next((self._writes[number] for number in written if number in self._writes), event.line)
        self._writes.clear()
        self.known = now

    def _parameters_of(self, optimizer: Optimizer) -> list[int]:
        return [self._parameters.add(tensor) for group in optimizer.param_groups for tensor in group["params"]]

    def record_zero_grad(self) -> None:
        """Record that gradients are set to 0 or None; a run of such calls is one event."""
        if not isinstance(self._log.last, ZeroGrad):
            self._log.add(ZeroGrad)

    def record_write(self, tensor: object, name: str) -> None:
        """Record an operation in place on a parameter or a gradient."""
        if not isinstance(tensor, Tensor) or not tensor.numel():
            return
        number = self._parameters.owner_of(tensor)
        if number is not None:
            if not self._writes:
                self._gradients_at_write = self._parameters.observe_gradients()
                self._sources_at_write = {known: tuple(passes) for known, passes in self._parameters.sources.items()}
                self._scales_at_write = dict(self._parameters.scales)
            self._writes[number] = user_line()
            return
        pointer = tensor.data_ptr()
        gradients = (known.grad for known in self._parameters.tensors.values() if known.grad is not None)
        if any(gradient.data_ptr() == pointer for gradient in gradients):
            if name in {"zero_", "_foreach_zero_"}:
                self.record_zero_grad()
            elif not isinstance(self._log.last, GradientChange):
                function, limit = clipping_on_stack() or (name, None)
                self._log.add(GradientChange, function=function, limit=limit)


def _has_closure(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Return whether `optimizer.step` is called with a closure; `args` begins with the optimizer."""
    return len(args) > 1 or kwargs.get("closure") is not None


def _has_state(optimizer: Optimizer) -> bool:
    tensors = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    return any(bool(tensor.any()) for tensor in tensors)
