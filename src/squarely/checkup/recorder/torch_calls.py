"""The torch functions that a training loop calls, and what each tells the recorder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from squarely.checkup.recorder.recorder import Recorder

PRODUCTS = {
    "linear",
    "matmul",
    "__matmul__",
    "__rmatmul__",
    "mm",
    "mv",
    "addmm",
    "addmv",
    "einsum",
    "dot",
    "mul",
    "__mul__",
    "__rmul__",
}
SAME_VALUES = {
    "squeeze", "squeeze_", "unsqueeze", "unsqueeze_", "view", "reshape", "flatten", "ravel", "float", "double", "half", "bfloat16",
    "to", "type", "cpu", "contiguous", "__getitem__", "select", "detach", "clone", "permute", "transpose", "t", "view_as",
    "reshape_as", "expand", "expand_as", "sum",
}  # fmt: skip
ARITHMETIC = {"add", "__add__", "__radd__", "add_", "__iadd__", "mul", "__mul__", "__rmul__", "div", "__truediv__", "true_divide"}
COMPARISONS = {
    "sub", "__sub__", "rsub", "__rsub__", "subtract", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "soft_margin_loss",
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "nll_loss", "gaussian_nll_loss",
    "poisson_nll_loss", "kl_div", "pairwise_distance", "cosine_similarity", "dist", "sub_", "__isub__", "hinge_embedding_loss",
}  # fmt: skip
READS = {"item", "__float__"}


class TorchCalls(TorchFunctionMode):
    """Passes every call of a torch function to the recorder, and returns what torch returns."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        recorder = self._recorder
        if recorder.is_quiet:
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name == "backward" and args and isinstance(args[0], Tensor):
            return recorder.record_backward(lambda: func(*args, **kwargs), args[0])
        if name == "grad" and func is torch.autograd.grad:
            return recorder.record_grad(lambda: func(*args, **kwargs), args, kwargs)
        result = func(*args, **kwargs)
        if not recorder.in_optimizer:
            with recorder.quiet():
                _observe(recorder, name, func, args, kwargs, result)
        return result


def _observe(  # noqa: C901, PLR0917 (a table of what each function tells)
    recorder: Recorder, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
) -> None:
    if name in {"__set__", "__get__"}:
        _observe_property(recorder, name, func, args, result)
    elif name == "_record_function_enter_new":
        if args and "zero_grad" in str(args[0]):
            recorder.record_zero_grad()
    elif name.startswith("_foreach_") and name.endswith("_") and args and isinstance(args[0], (list, tuple)):
        for tensor in args[0]:
            recorder.record_write(tensor, name)
    elif any(isinstance(value, Tensor) and not is_plain(value) for value in (result, *args)):
        recorder.trace.functional_calls += 1
    elif name in READS and args and isinstance(args[0], Tensor):
        recorder.record_read(args[0], float(result))
    elif isinstance(result, Tensor):
        tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        if name in COMPARISONS and recorder.record_comparison(name, tensors, result):
            return
        if name in PRODUCTS and recorder.record_product(name, tensors, result):
            return
        if name in SAME_VALUES | ARITHMETIC and tensors:
            recorder.follow_prediction(name, tensors, result)
        if (name.endswith("_") and not name.startswith("_")) or name == "__isub__":
            recorder.record_write(args[0] if args else None, name)


def _observe_property(recorder: Recorder, name: str, func: Any, args: tuple[Any, ...], result: Any) -> None:
    descriptor = getattr(func, "__self__", None)
    if name == "__set__":
        if descriptor is Tensor.grad and args[1] is None:
            recorder.record_zero_grad()
        elif descriptor is Tensor.data:
            recorder.record_write(args[0], "data")
    elif descriptor in {Tensor.data, Tensor.T, Tensor.mT} and isinstance(result, Tensor):
        recorder.follow_prediction("view", [args[0]], result)


def is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor has values: one inside a transformation of `torch.func` does not."""
    return not torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def clipping_on_stack() -> tuple[str, float] | None:
    """Return the name and limit of the clipping function of torch that is running."""
    frame = sys._getframe(1)
    while frame is not None:
        if (
            frame.f_code.co_name in {"clip_grad_norm_", "clip_grad_value_", "_clip_grads_with_norm_"}
            and "clip_grad" in frame.f_code.co_filename
        ):
            limit = frame.f_locals.get("max_norm", frame.f_locals.get("clip_value"))
            name = "clip_grad_value_" if frame.f_code.co_name == "clip_grad_value_" else "clip_grad_norm_"
            return name, float(limit) if limit is not None else float("nan")
        frame = frame.f_back  # type: ignore[assignment]
    return None
