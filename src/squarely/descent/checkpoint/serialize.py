"""What torch keeps in a state_dict, as JSON values and tensors, and back: every bit of it, and nothing in it is ever run.

A JSON array is a list; a JSON object is something else than a list, and its first key says what.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from squarely.storage.json_fields import as_bool, as_int, as_text

NamedTensors = dict[str, torch.Tensor]
_WORDS = ("nan", "inf", "-inf")


def to_plain(value: Any, tensors: NamedTensors, name: str) -> Any:
    """Give a value as JSON knows values; tensors go into `tensors`, on the CPU, under names that begin with `name`.

    Raises
    ------
    TypeError : there is something in it that is neither number, text, tensor nor a container of these.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"number": str(float(value))}
    if isinstance(value, torch.Tensor):
        return _tensor_to_plain(value, tensors, name)
    if isinstance(value, Mapping):
        pairs = [[to_plain(key, tensors, name), to_plain(item, tensors, name)] for key, item in value.items()]
        return {"counter" if isinstance(value, Counter) else "dict": pairs}
    if isinstance(value, list | tuple | deque):
        items = [to_plain(item, tensors, name) for item in value]
        if isinstance(value, deque):
            return {"deque": items, "longest": value.maxlen}
        return items if isinstance(value, list) else {"tuple": items}
    raise TypeError(f"a {type(value).__name__} is neither a number, a text, a tensor nor a container of these")


def _tensor_to_plain(value: torch.Tensor, tensors: NamedTensors, name: str) -> dict[str, Any]:
    key = f"{name}.{len(tensors)}"
    tensors[key] = copy_to_cpu(value)
    return {"tensor": key, "dtype": str(value.dtype), "shape": list(value.shape), "on_cpu": value.device.type == "cpu"}


def copy_to_cpu(tensor: torch.Tensor) -> torch.Tensor:
    """Copy a tensor to the CPU, where its numbers then stand one after the other."""
    return tensor.detach().to("cpu", copy=True).contiguous()


def from_plain(plain: Any, tensors: Mapping[str, torch.Tensor], device: torch.device) -> Any:
    """Make the value again; what was on a device goes to `device`.

    Raises TypeError, ValueError or KeyError for whatever does not belong there.
    """
    if plain is None or isinstance(plain, bool | int | float | str):
        return plain
    if isinstance(plain, list):
        return [from_plain(item, tensors, device) for item in plain]
    kind = _kind_of(plain)
    if kind == "tensor":
        return _tensor_from_plain(plain, tensors, device)
    return _KINDS[kind](plain, lambda item: from_plain(item, tensors, device))


def _kind_of(plain: Mapping[str, Any]) -> str:
    if not plain:
        raise ValueError("an empty object stands where a value belongs.")
    return next(iter(plain))


def _tensor_from_plain(plain: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], device: torch.device) -> torch.Tensor:
    tensor = tensors[as_text(plain["tensor"])]
    if str(tensor.dtype) != plain["dtype"] or list(tensor.shape) != plain["shape"]:
        raise ValueError(f"the tensor {plain['tensor']!r} is not of the shape and type that it had.")
    return tensor.to("cpu" if as_bool(plain["on_cpu"]) else device, copy=True)


def _number_from_plain(plain: Mapping[str, Any]) -> float:
    if plain["number"] not in _WORDS:
        raise ValueError(f"{plain['number']!r} stands where a number belongs.")
    return float(plain["number"])


def _dict_from_pairs(pairs: Any, again: Callable[[Any], Any]) -> dict[Any, Any]:
    return {again(key): again(item) for key, item in pairs}


def _deque_from_plain(plain: Mapping[str, Any], again: Callable[[Any], Any]) -> deque[Any]:
    longest = plain["longest"]
    return deque(map(again, plain["deque"]), None if longest is None else as_int(longest))


_KINDS: Mapping[str, Callable[[Any, Callable[[Any], Any]], Any]] = {
    "number": lambda plain, again: _number_from_plain(plain),
    "dict": lambda plain, again: _dict_from_pairs(plain["dict"], again),
    "counter": lambda plain, again: Counter(_dict_from_pairs(plain["counter"], again)),
    "tuple": lambda plain, again: tuple(map(again, plain["tuple"])),
    "deque": _deque_from_plain,
}


def describe_class(value: Any) -> Any:
    """Describe an option as JSON values, to be compared with another description: of a function there is the name."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"number": str(value)}
    if isinstance(value, torch.Tensor | np.ndarray):
        return {"tensor": describe_class(value.tolist())}
    if isinstance(value, Mapping):
        return {"dict": [[describe_class(key), describe_class(item)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [describe_class(item) for item in value]
    known = value if callable(value) and hasattr(value, "__qualname__") else type(value)
    return {"function" if callable(value) else "object": f"{known.__module__}.{known.__qualname__}"}


def describe_value(plain: Any) -> str:
    """Say a description in words.

    >>> describe_value(0.01), describe_value([0.9, 0.99]), describe_value({"dict": [["eps", 1e-06]]}), describe_value({"function": "__main__.halved"})
    ('0.01', '(0.9, 0.99)', "{'eps': 1e-06}", "the function '__main__.halved'")
    """
    if isinstance(plain, list):
        return f"({', '.join(map(describe_value, plain))})"
    if not isinstance(plain, Mapping):
        return repr(plain)
    kind = _kind_of(plain)
    held = plain[kind]
    if kind == "dict":
        return "{" + ", ".join(f"{describe_value(key)}: {describe_value(item)}" for key, item in held) + "}"
    if kind in ("function", "object"):
        return f"the {kind} {held!r}"
    return str(held) if kind == "number" else describe_value(held)
