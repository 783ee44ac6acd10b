"""The torch functions that a training loop calls, and what each tells the recorder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from squarely.checkup.recorder.backward_passes import BackwardRecorder
from squarely.checkup.recorder.event_log import EventLog
from squarely.checkup.recorder.forward_passes import ForwardRecorder
from squarely.checkup.recorder.functional import is_plain
from squarely.checkup.recorder.updates import UpdateRecorder

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
    """Tells the recorders of every call of a torch function, and returns what torch returns."""

    def __init__(self, log: EventLog, forwards: ForwardRecorder, backwards: BackwardRecorder, updates: UpdateRecorder) -> None:
        super().__init__()
        self._log = log
        self._forwards = forwards
        self._backwards = backwards
        self._updates = updates

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._log.is_quiet:
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name == "backward" and args and isinstance(args[0], Tensor):
            return self._backwards.record_backward(lambda: func(*args, **kwargs), args[0])
        if name == "grad" and func is torch.autograd.grad:
            return self._backwards.record_grad(lambda: func(*args, **kwargs), args, kwargs)
        result = func(*args, **kwargs)
        if not self._log.in_optimizer:
            with self._log.quiet():
                self._observe(name, func, args, kwargs, result)
        return result

    def _observe(self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        self._log.trace.permutations += name == "randperm"
        if name in {"__set__", "__get__"}:
            self._observe_property(name, func, args, result)
        elif name == "_record_function_enter_new":
            if args and "zero_grad" in str(args[0]):
                self._updates.record_zero_grad()
        elif name.startswith("_foreach_") and name.endswith("_") and args and isinstance(args[0], (list, tuple)):
            for tensor in args[0]:
                self._updates.record_write(tensor, name)
        elif any(isinstance(value, Tensor) and not is_plain(value) for value in (result, *args)):
            self._log.trace.functional_calls += 1
        elif name in READS and args and isinstance(args[0], Tensor):
            self._forwards.record_read(args[0], float(result))
        elif isinstance(result, Tensor):
            self._observe_result(name, [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)], args, result)

    def _observe_result(self, name: str, tensors: list[Tensor], args: tuple[Any, ...], result: Tensor) -> None:
        if name in COMPARISONS and self._forwards.record_comparison(name, tensors, result):
            return
        if name in PRODUCTS and self._forwards.record_product(name, tensors, result):
            return
        if name in SAME_VALUES | ARITHMETIC and tensors:
            self._forwards.follow_prediction(name, tensors, result)
        if (name.endswith("_") and not name.startswith("_")) or name == "__isub__":
            self._updates.record_write(args[0] if args else None, name)

    def _observe_property(self, name: str, func: Any, args: tuple[Any, ...], result: Any) -> None:
        descriptor = getattr(func, "__self__", None)
        if name == "__set__":
            if descriptor is Tensor.grad and args[1] is None:
                self._updates.record_zero_grad()
            elif descriptor is Tensor.data:
                self._updates.record_write(args[0], "data")
        elif descriptor in {Tensor.data, Tensor.T, Tensor.mT} and isinstance(result, Tensor):
            self._forwards.follow_prediction("view", [args[0]], result)
