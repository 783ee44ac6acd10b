"""A state_dict as JSON values and tensors, and back: every bit of it, and nothing in it is executed.

A JSON array is a list. A JSON object is another kind of value, which its first key names.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from squarely.storage.json_fields import as_bool, as_int, as_text

if TYPE_CHECKING:
    import torch

NamedTensors: TypeAlias = "dict[str, torch.Tensor]"


def to_plain(value: Any, tensors: NamedTensors, name: str) -> Any:
    """Return a value as JSON values; tensors go into `tensors`, on the CPU, under names that begin with `name`.

    Raises
    ------
    TypeError : it has something that is neither a number, a text, a tensor nor a container of these.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"number": str(float(value))}
    if isinstance(value, Mapping):
        pairs = [[to_plain(key, tensors, name), to_plain(item, tensors, name)] for key, item in value.items()]
        return {"counter" if isinstance(value, Counter) else "dict": pairs}
    if isinstance(value, list | tuple | deque):
        items = [to_plain(item, tensors, name) for item in value]
        if isinstance(value, deque):
            return {"deque": items, "longest": value.maxlen}
        return items if isinstance(value, list) else {"tuple": items}
    if _is_tensor(value):
        key = f"{name}.{len(tensors)}"
        tensors[key] = copy_to_cpu(value)
        return {"tensor": key, "dtype": str(value.dtype), "shape": list(value.shape), "on_cpu": value.device.type == "cpu"}
    raise TypeError(f"a {type(value).__name__} is neither a number, a text, a tensor nor a container of these")


def _is_tensor(value: Any) -> bool:
    import torch  # here, because PyTorch takes a second to import, and a run in closed form has no tensor

    return isinstance(value, torch.Tensor)


def copy_to_cpu(tensor: torch.Tensor) -> torch.Tensor:
    """Copy a tensor to contiguous memory on the CPU."""
    return tensor.detach().to("cpu", copy=True).contiguous()


def from_plain(plain: Any, tensors: Mapping[str, torch.Tensor], device: torch.device | str) -> Any:
    """Return the value; a tensor that was on a device goes to `device`.

    Raises TypeError, ValueError or KeyError for anything that `to_plain` does not write.
    """
    read = partial(from_plain, tensors=tensors, device=device)
    value: Any
    match plain:
        case None | bool() | int() | float() | str():
            value = plain
        case list():
            value = list(map(read, plain))
        case {"tensor": _}:
            value = _tensor_from_plain(plain, tensors, device)
        case {"number": "nan" | "inf" | "-inf" as word}:
            value = float(word)
        case {"dict": pairs} | {"counter": pairs}:
            items = {read(key): read(item) for key, item in pairs}
            value = items if "dict" in plain else Counter(items)
        case {"tuple": items}:
            value = tuple(map(read, items))
        case {"deque": items, "longest": longest}:
            value = deque(map(read, items), None if longest is None else as_int(longest))
        case _:
            raise ValueError(f"{plain!r} is in the place of a value.")
    return value


def _tensor_from_plain(plain: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], device: torch.device | str) -> torch.Tensor:
    tensor = tensors[as_text(plain["tensor"])]
    if str(tensor.dtype) != plain["dtype"] or list(tensor.shape) != plain["shape"]:
        raise ValueError(f"the tensor {plain['tensor']!r} has another shape or type than it had.")
    return tensor.to("cpu" if as_bool(plain["on_cpu"]) else device, copy=True)


def describe_class(value: Any) -> Any:
    """Describe an option as JSON values, which can be compared; a function or an object by the name of its class."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"number": str(value)}
    if isinstance(value, Mapping):
        return {"dict": [[describe_class(key), describe_class(item)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [describe_class(item) for item in value]
    if isinstance(value, np.ndarray) or _is_tensor(value):
        return {"tensor": describe_class(value.tolist())}
    named = value if callable(value) and hasattr(value, "__qualname__") else type(value)
    return {"function" if callable(value) else "object": without_our_module(f"{named.__module__}.{named.__qualname__}")}


def without_our_module(name: str) -> str:
    """Return the name of one of our classes without its module, which earlier checkpoints have and which may move.

    >>> without_our_module("squarely.descent.model.LinearRegression"), without_our_module("torch.nn.Linear")
    ('LinearRegression', 'torch.nn.Linear')
    """
    return name.rpartition(".")[2] if name.startswith("squarely.") else name


def describe_value(plain: Any) -> str:
    """Write a description as text.

    >>> describe_value([0.9, 0.99]), describe_value({"dict": [["eps", 1e-06]]}), describe_value({"function": "__main__.halved"})
    ('(0.9, 0.99)', "{'eps': 1e-06}", "the function '__main__.halved'")
    """
    if isinstance(plain, list):
        return f"({', '.join(map(describe_value, plain))})"
    if not isinstance(plain, Mapping):
        return repr(plain)
    (kind, content), *_ = plain.items()
    if kind == "dict":
        return "{" + ", ".join(f"{describe_value(key)}: {describe_value(item)}" for key, item in content) + "}"
    if kind in ("function", "object"):
        return f"the {kind} {content!r}"
    return str(content) if kind == "number" else describe_value(content)
