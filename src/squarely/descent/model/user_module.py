"""Read the coefficients of a user's linear module, and check whether a step moves them as `theory` assumes.

Only copies of the module are called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from squarely.descent.model.module_probe import call, draw_inputs, is_close, isolated, perturbed, probe_copy, zeros
from squarely.errors import OptionError, listed
from squarely.numerics import Array

_LINEAR_ADVICE = "A linear model is nn.Linear(features, 1), alone or in a module of your own that adds nothing to it."
_NOT_LEAST_SQUARES = "That is another problem than least squares."
_DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class AffineForm:
    """A module as a function of its inputs, weight x + bias, and of its parameters.

    It is quadratic if the outputs are linear in the trainable parameters, so that the mean squared error is quadratic in them. It
    is plain if, in addition, a step moves weight and bias by lr times the gradient with respect to them: only then do limits and
    rates from the spectrum of the inputs hold.
    """

    weight: Array  # (features,)
    bias: float | None  # None if it is zero for all values of the parameters
    trainable_parameters: tuple[str, ...]  # names
    frozen_parameters: tuple[str, ...]  # names of those with requires_grad=False
    is_quadratic: bool
    is_plain: bool

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on how training this module differs from the theory."""
        texts = []
        if self.frozen_parameters:
            others = "so training ends at the optimum of the others"
            what = others if self.trainable_parameters else "and there are no others: no step moves it"
            texts.append(f"The model's parameters {_quote_names(self.frozen_parameters)} are frozen (requires_grad=False), {what}.")
        if not self.is_quadratic:
            texts.append(
                f"The model is linear in its inputs, but not in its parameters ({_quote_names(self.trainable_parameters)}): it "
                "has more than one trainable layer, or scales one by another. The loss is not quadratic, so limits, rates and the "
                "predicted curve do not hold. One nn.Linear can express the same."
            )
        elif not self.is_plain and not self.frozen_parameters:
            texts.append(
                f"The model is linear in its parameters ({_quote_names(self.trainable_parameters)}), but these are not its "
                "coefficients: it scales or shifts inputs or outputs, or adds layers up. A step moves the coefficients otherwise "
                "than with nn.Linear, so limits, rates and the predicted curve do not hold."
            )
        return tuple(texts)


def affine_form(module: nn.Module, features: int) -> AffineForm:
    """Read the coefficients of a module whose outputs are weight x + bias.

    The weight is the gradient of the output at zero and the bias the output there; for an nn.Linear they are exact to the bit. The
    outputs at small and large inputs are checked against them, with the module's parameters and with random ones, in double
    precision if a copy of the module allows it.

    Raises
    ------
    OptionError : it is not linear in its inputs, draws random numbers, mixes the rows of a batch, has no parameters, or does not
        map inputs (m, features) to outputs (m,) or (m, 1).

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> read = affine_form(nn.Sequential(layer), 2)
    >>> bool((read.weight == layer.weight.detach().double().numpy()[0]).all()), read.bias == layer.bias.item(), read.is_plain
    (True, True, True)
    """
    _require_parameters(module)
    _require_no_noise(module)
    with isolated(module):
        probe = probe_copy(module, features)
        X, near = draw_inputs(probe, features)
        _require_steady(probe, near)
        weight, bias = _require_affine(probe, X)
        with perturbed(probe.parameters(), 1.0):
            _, bias_elsewhere = _require_affine(probe, X)
        has_bias = bool(bias) or bool(bias_elsewhere)
        movable = [parameter for parameter in probe.parameters() if parameter.requires_grad]
        quadratic = _is_quadratic(probe, movable, near)
        plain = quadratic and bool(movable) and _is_plain(probe, movable, near, has_bias=has_bias)
    named = list(module.named_parameters())
    return AffineForm(
        weight=weight.double().cpu().numpy(),
        bias=float(bias) if has_bias else None,
        trainable_parameters=tuple(name for name, parameter in named if parameter.requires_grad),
        frozen_parameters=tuple(name for name, parameter in named if not parameter.requires_grad),
        is_quadratic=quadratic,
        is_plain=plain,
    )


def _require_parameters(module: object) -> None:
    if not isinstance(module, nn.Module):
        what = f"the class {module.__name__}" if isinstance(module, type) else f"a {type(module).__name__}"
        raise OptionError(f"model= is {what}, not a torch module. {_LINEAR_ADVICE}")
    if isinstance(module, torch.jit.ScriptModule):
        raise OptionError("The model is made by torch.jit and cannot be checked. Give the module that it is made from.")
    parameters = list(module.parameters())
    if not parameters:
        raise OptionError(f"The model ({type(module).__name__}) has no parameters, so there is nothing to train. {_LINEAR_ADVICE}")
    if any(isinstance(parameter, nn.parameter.UninitializedParameter) for parameter in parameters):
        raise OptionError("The model has a lazy layer without values. Call it once on a batch, or use nn.Linear.")
    for name, parameter in module.named_parameters():
        if parameter.is_meta or not parameter.is_floating_point():
            raise OptionError(
                f"The model's parameter {name!r} is of dtype {parameter.dtype} on {parameter.device}. Give it real numbers in "
                "memory, such as torch.float32 on the CPU."
            )
        if not torch.isfinite(parameter).all():
            raise OptionError(f"The model's parameter {name!r} is not finite: it has diverged. Start again with a new model.")


def _require_no_noise(module: nn.Module) -> None:
    for name, layer in module.named_modules():
        label = f"{type(layer).__name__}{f' ({name!r})' if name else ''}"
        if isinstance(layer, _DROPOUT) and layer.p > 0:
            raise OptionError(
                f"The model has a {label} with p={layer.p:g}, which drops inputs at random in training. {_NOT_LEAST_SQUARES} "
                "Leave it out, or set its p to 0."
            )
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            raise OptionError(
                f"The model has a {label}, which scales by the standard deviation of each batch in training. {_NOT_LEAST_SQUARES} "
                "Leave it out, and standardize the inputs beforehand."
            )


def _require_steady(probe: nn.Module, X: torch.Tensor) -> None:
    """Raise an OptionError where outputs depend on more than the inputs; leave the module in training mode."""
    outputs = []
    for mode in (False, True, True):
        probe.train(mode)
        outputs.append(call(probe, X))
    evaluated, trained, again = outputs
    size = trained.abs().max()
    if not is_close(trained, again, size):
        raise OptionError(
            "The model gives other outputs when it is called again with the same inputs: it draws random numbers, as dropout does, "
            f"or has a memory. {_NOT_LEAST_SQUARES} Remove this."
        )
    if not is_close(evaluated, trained, size):
        raise OptionError(
            "The model gives other outputs in training mode than in evaluation mode, so the trained function is not the one that "
            "predicts. Let its forward do the same in both."
        )
    if not is_close(torch.cat([call(probe, row[None]) for row in X]), trained, size):
        raise OptionError(
            "The model's output for a row depends on the other rows of its batch, as with normalization over the batch. "
            f"{_NOT_LEAST_SQUARES} Standardize the inputs beforehand."
        )


def _require_affine(probe: nn.Module, X: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weight (features,) and the bias; raise an OptionError where the outputs at X do not follow from them."""
    zero = zeros(probe, X.shape[1]).requires_grad_()
    at_zero = call(probe, zero)
    if not at_zero.requires_grad:
        raise OptionError("The model stops the gradient: look for detach(), no_grad() or .item() in its forward.")
    (slope,) = torch.autograd.grad(at_zero.sum(), zero, allow_unused=True)
    weight, bias = torch.zeros_like(X[0]) if slope is None else slope[0], at_zero.detach()[0]
    outputs, linear = call(probe, X).detach(), X @ weight + bias
    if not is_close(outputs, linear, X.abs() @ weight.abs() + bias.abs()):
        at = int((outputs - linear).abs().nan_to_num(nan=torch.inf).argmax())
        raise OptionError(
            f"The model is not linear in its inputs: at inputs of size {X[at].abs().max().item():.3g} its output is "
            f"{outputs[at].item():.6g}, and its value and gradient at zero make it {linear[at].item():.6g}. Remove "
            "activations and products of inputs: the exact answer is known for linear models only."
        )
    return weight, bias


def _is_quadratic(probe: nn.Module, movable: Sequence[nn.Parameter], X: torch.Tensor) -> bool:
    """Return whether outputs are linear in parameters: a random move and its opposite change them by opposite amounts."""
    outputs = []
    for by in (1.0, 0.0, -1.0):
        with perturbed(movable, by):
            outputs.append(call(probe, X).detach())
    return is_close(outputs[0] + outputs[2], 2 * outputs[1], torch.stack(outputs).abs().max())


def _is_plain(probe: nn.Module, movable: Sequence[nn.Parameter], X: torch.Tensor, *, has_bias: bool) -> bool:
    """Return whether a step along the gradient of u'f(X) moves f(X) by Z Z'u, as where the coefficients of Z = [X 1] move."""
    u = torch.linspace(-1.0, 2.0, len(X), dtype=X.dtype, device=X.device)
    before = call(probe, X)
    gradients = torch.autograd.grad(u @ before, movable, allow_unused=True) if before.requires_grad else ()
    if all(gradient is None for gradient in gradients):
        raise OptionError(
            "No gradient reaches the model's parameters: look for detach(), .data or .item() in its forward, "
            "or for a function that refers to another module."
        )
    with torch.no_grad():
        for parameter, gradient in zip(movable, gradients, strict=True):
            if gradient is not None:
                parameter.add_(gradient)
        Z = torch.hstack([X, torch.ones_like(X[:, :1])]) if has_bias else X
        size = (Z.abs() @ (Z.T.abs() @ u.abs())).max() + before.abs().max()
        return is_close(call(probe, X) - before, Z @ (Z.T @ u), size)


def _quote_names(names: Sequence[str]) -> str:
    return listed(map(repr, names), most=6)
