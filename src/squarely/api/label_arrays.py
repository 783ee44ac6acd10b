"""Labels that are passed as arrays beside X= and y=, such as clusters, as named columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from squarely.data import label_columns, named_columns


def name_label_arrays(X: object, cluster: Any, time: Any, by: Any = None) -> tuple[Any, Any, Any, Mapping[str, Any]]:
    """Return `cluster`, `time` and `by` as names, and the arrays among them by name; without X= they are names already."""
    arrays: dict[str, Any] = {}
    if X is None:
        return cluster, time, by, arrays
    taken = named_columns(X)
    if not _is_named(cluster):
        parts = cluster if _has_parts(cluster) else [cluster]
        names = ["cluster"] if len(parts) == 1 else [f"cluster{i + 1}" for i in range(len(parts))]
        found = [
            part if isinstance(part, str) else label_columns(name, part, taken) for name, part in zip(names, parts, strict=True)
        ]
        arrays |= {name: values for part in found if isinstance(part, dict) for name, values in part.items()}
        cluster = [name for part in found for name in ([part] if isinstance(part, str) else part)]
    if not _is_named(time):
        found_time = label_columns("time", time, [*taken, *arrays])
        arrays |= found_time
        time = next(iter(found_time))
    if not _is_named(by):
        found_by = label_columns("by", by, [*taken, *arrays])
        arrays |= found_by
        by = next(iter(found_by))
    return cluster, time, by, arrays


def _is_named(value: Any) -> bool:
    """Return whether these are names of columns; a longer list of texts is one of labels."""
    is_list = isinstance(value, list | tuple) and len(value) <= 2 and all(isinstance(part, str) for part in value)
    return isinstance(value, str) or is_list or not hasattr(value, "__len__")  # a number is no array, and is refused later


def _has_parts(value: Any) -> bool:
    """Return whether this is a list of arrays, one for each column of clusters."""
    return isinstance(value, list | tuple) and any(hasattr(part, "__len__") and not isinstance(part, str) for part in value)
