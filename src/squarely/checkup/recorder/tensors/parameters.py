"""The parameters of a run: their names, values and gradients, and which backward passes a gradient comes from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from squarely.checkup.recorder.trace import ParameterInfo, Values
from squarely.numerics import Array


def to_array(tensor: Tensor) -> Array:
    """Return flat float64 values of a tensor."""
    with torch.no_grad():
        values: Array = tensor.detach().to("cpu", torch.float64).reshape(-1).numpy().copy()
        return values


class Parameters:
    """The parameters that were seen so far. Holds the tensors, so that an id stays with its tensor."""

    def __init__(self) -> None:
        self.tensors: dict[int, Tensor] = {}
        self.info: dict[int, ParameterInfo] = {}
        self.initial: Values = {}
        self.modules: dict[int, nn.Module] = {}
        self.plain_tensors: list[str] = []  # attributes of the modules that are neither parameters nor buffers
        self.sources: dict[int, list[int]] = {}  # of each gradient: the backward passes that it holds
        self.scales: dict[int, float] = {}
        self._gradients: Values = {}  # as last seen
        self._numbers: dict[int, int] = {}
        self._replaced: list[Tensor] = []  # held, so that no new tensor gets their ids
        self._passes = 0
        self._last_use: dict[int, int] = {}  # by parameter: the number of backward passes before its last use

    def add_module(self, module: nn.Module) -> int:
        """Register a module's parameters; return the module's number."""
        if id(module) not in self.modules:
            self.modules[id(module)] = module
            for name, tensor in module.named_parameters():
                self.add(tensor, name, module)
            self.plain_tensors += _find_plain_tensors(module)
        return list(self.modules).index(id(module))

    def add(self, tensor: Tensor, name: str | None = None, module: nn.Module | None = None) -> int:
        """Register a parameter; return its number."""
        if id(tensor) not in self._numbers and (module is not None or not self._replace(tensor)):
            number = self._numbers[id(tensor)] = len(self.tensors)
            self.tensors[number] = tensor
            self.info[number] = ParameterInfo(
                name=name or f"tensor {number} of shape {tuple(tensor.shape)}",
                shape=tuple(tensor.shape),
                requires_grad=tensor.requires_grad,
                in_module=module is not None,
                module=None if module is None else list(self.modules).index(id(module)),
                dtype=str(tensor.dtype).removeprefix("torch."),
            )
            self.initial[number] = to_array(tensor)
            self.sources[number], self.scales[number] = [], 1.0
        number = self._numbers[id(tensor)]
        self._last_use[number] = self._passes
        if name is not None and module is not None and not self.info[number].in_module:  # an optimizer came before its module
            owner = list(self.modules).index(id(module))
            self.info[number] = replace(self.info[number], name=name, in_module=True, module=owner)
        return number

    def _replace(self, tensor: Tensor) -> bool:
        """Give a new tensor the number of one that it replaces after a backward pass, as in `w = (w - lr * g).requires_grad_()`."""
        for number, last in self._last_use.items():
            known = self.tensors[number]
            if last < self._passes and not self.info[number].in_module and known.shape == tensor.shape and known.is_leaf:
                self._replaced.append(known)
                self.tensors[number] = tensor
                self._numbers[id(tensor)] = number
                return True
        return False

    def count_pass(self) -> None:
        """Note a backward pass that leaves `grad` alone."""
        self._passes += 1

    def number_of(self, tensor: object) -> int | None:
        """Return the number of a parameter, None for another tensor."""
        number = self._numbers.get(id(tensor))
        return number if number is not None and self.tensors[number] is tensor else None

    def owner_of(self, tensor: Tensor) -> int | None:
        """Return the number of the parameter that has the memory of a tensor, such as `w.data`."""
        pointer = tensor.data_ptr()
        return next((number for number, known in self.tensors.items() if known.data_ptr() == pointer), None)

    def values(self, numbers: Iterable[int] | None = None) -> Values:
        """Return the values now."""
        return {number: to_array(self.tensors[number]) for number in (self.tensors if numbers is None else numbers)}

    def gradients(self, numbers: Iterable[int] | None = None) -> Values:
        """Return the gradients now; a parameter without one is absent."""
        chosen = self.tensors if numbers is None else numbers
        return {number: to_array(gradient) for number in chosen if (gradient := self.tensors[number].grad) is not None}

    def observe_gradients(self) -> Values:
        """Return the gradients now, and update where they come from: a gradient that is gone or 0 comes from nothing."""
        now = self.gradients()
        for number in self.tensors:
            self._observe(number, now.get(number), self._gradients.get(number))
        self._gradients = now
        return now

    def _observe(self, number: int, now: Array | None, before: Array | None) -> None:
        if now is None or not now.any():
            self.sources[number], self.scales[number] = [], 1.0
        elif before is None or not np.array_equal(now, before, equal_nan=True):
            if before is None or not before.any():
                self.scales[number] = np.nan  # a gradient that no backward pass made
            else:
                self.scales[number] *= common_factor(now, before)

    def add_contribution(self, backward: int) -> Values:
        """Return what a backward pass added since `observe_gradients`, and note the pass as a source of these gradients."""
        self._passes += 1
        before, now = self._gradients, self.gradients()
        change = {number: values - before.get(number, 0.0) for number, values in now.items()}
        change = {number: values for number, values in change.items() if number not in before or values.any()}
        for number in change:
            self.sources[number].append(backward)
        self._gradients = now
        return change


def _find_plain_tensors(module: nn.Module) -> list[str]:
    """Return the names of float tensors that a module has when it is first called, outside of parameters and buffers."""
    return [
        f"{prefix}.{name}" if prefix else name
        for prefix, inner in module.named_modules()
        if not type(inner).__module__.startswith("torch.")
        for name, value in vars(inner).items()
        if isinstance(value, Tensor) and value.is_floating_point() and value.grad_fn is None
    ]


def common_factor(now: Array, before: Array) -> float:
    """Return c where now = c * before, NaN if no number c does it."""
    size = float(before @ before)
    factor = float(now @ before) / size if size > 0 else np.nan
    return factor if np.allclose(now, factor * before, rtol=1e-3, atol=1e-3 * float(np.abs(now).max())) else np.nan
