"""Calls of a copy of a user's module: its parameters, gradients, buffers, mode and the random state do not change."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn

from squarely.errors import OptionError, first_line

_SIZES = 6


@contextmanager
def isolated(module: nn.Module) -> Iterator[None]:
    """Keep the random state, enable gradients, and compile nothing for a few calls."""
    devices = {parameter.device.index for parameter in module.parameters() if parameter.device.type == "cuda"}
    compiles = "torch._dynamo" in sys.modules  # otherwise no module is compiled, and loading the compiler takes seconds
    eager: AbstractContextManager[object] = torch.compiler.set_stance("force_eager") if compiles else nullcontext()
    with torch.random.fork_rng(devices=sorted(devices)), torch.inference_mode(False), torch.enable_grad(), eager:
        yield


def probe_copy(module: nn.Module, features: int) -> nn.Module:
    """Copy a module, in double precision if that works: it may cast its inputs, and some devices have no doubles."""
    try:
        probe = _copy_module(module).double()
        call(probe, zeros(probe, features))
    except (OptionError, RuntimeError, TypeError):
        return _copy_module(module)
    return probe


def _copy_module(module: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(module)
    except Exception as error:  # a module may hold anything
        raise OptionError(
            f"The model cannot be copied, and its checks need a copy: {first_line(error)}. Keep tensors with a history, locks and "
            "open files out of it."
        ) from error


def zeros(probe: nn.Module, features: int) -> torch.Tensor:
    """Return one row of zeros (1, features), of the dtype and on the device of the parameters."""
    like = next(probe.parameters())
    return torch.zeros(1, features, dtype=like.dtype, device=like.device)


def draw_inputs(probe: nn.Module, features: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return fixed inputs (rows, features) of many sizes, each with its opposite, and others of size one."""
    like, generator = zeros(probe, features), torch.Generator("cpu").manual_seed(0)
    wide = 20 if torch.finfo(like.dtype).max > 1e30 else 4  # powers of two that leave range for sums
    sizes = torch.linspace(-wide, wide, _SIZES, dtype=torch.float64, device="cpu").exp2()
    near = torch.randn(2, _SIZES, features, generator=generator, dtype=torch.float64, device="cpu")
    far = near[0] * sizes[:, None]
    return torch.cat([far, -far]).to(like), near[1].to(like)


def call(probe: nn.Module, X: torch.Tensor) -> torch.Tensor:
    """Call the module on X (m, features) and give its outputs as (m,)."""
    try:
        outputs = probe(X)
    except Exception as error:  # the forward of the user may raise anything
        raise OptionError(
            f"The model fails on inputs of shape {tuple(X.shape)} and dtype {X.dtype}: {first_line(error)}. Let it take any "
            "number of rows, with as many inputs as there are features."
        ) from error
    m = len(X)
    if not isinstance(outputs, torch.Tensor) or tuple(outputs.shape) not in ((m,), (m, 1), *([()] if m == 1 else [])):
        what = f"shape {tuple(outputs.shape)}" if isinstance(outputs, torch.Tensor) else f"type {type(outputs).__name__}"
        raise OptionError(
            f"The model turns inputs of shape {tuple(X.shape)} into outputs of {what}. Give one number for each row, (m,) or "
            f"(m, 1), as nn.Linear({X.shape[1]}, 1) does."
        )
    return outputs.reshape(m)


@contextmanager
def perturbed(parameters: Iterable[nn.Parameter], by: float) -> Iterator[None]:
    """Move parameters by a multiple of a fixed random direction, and restore them at the end."""
    saved = [(parameter, parameter.detach().clone()) for parameter in parameters]
    generator = torch.Generator("cpu").manual_seed(1)
    with torch.no_grad():
        for parameter, before in saved:
            step = torch.randn(before.shape, generator=generator, dtype=torch.float64, device="cpu")
            parameter.add_(step.to(before), alpha=by)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, before in saved:
                parameter.copy_(before)


def is_close(a: torch.Tensor, b: torch.Tensor, size: torch.Tensor) -> bool:
    """Return whether two results (m,) agree up to rounding in sums of numbers of a size (m,) or ().

    The tolerance is roundoff to the power 3/4: in double precision, cancellation inside a module may cost four digits.
    """
    roundoff: float = torch.finfo(a.dtype).eps
    return bool(((a - b).abs() <= roundoff**0.75 * size).all())
