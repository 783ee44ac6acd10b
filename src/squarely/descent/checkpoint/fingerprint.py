"""`RunFingerprint`: formula, options and data, which a checkpoint must share with the run that resumes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import torch

from squarely._version import __version__
from squarely.descent.batches.batch_source import BatchSource
from squarely.descent.batches.in_memory import InMemoryBatches
from squarely.descent.batches.loader import LoaderBatches
from squarely.descent.batches.loader_pairs import unknown_sampler_name
from squarely.descent.batches.streamed import StreamedBatches
from squarely.descent.checkpoint.format import Checkpoint
from squarely.descent.checkpoint.serialize import describe_class, describe_value
from squarely.descent.loop.result import SINGLE_THREAD_CELLS
from squarely.descent.options.optimizers import weight_decay_of
from squarely.descent.options.options import TrainingOptions
from squarely.descent.process_group import ProcessGroup
from squarely.design import Design
from squarely.errors import DataError, OptionError, listed, pluralize
from squarely.moments import StandardizedProblem
from squarely.numerics import Array

_TOLERANCE = 1e-12  # relative: sums in another order differ by far less, other data by far more
_ORDER_TOLERANCE = 1e-6  # of a standard deviation: float32 rounds to a tenth of it; n shuffled rows are 0.3 / sqrt(n) away
_ROWS_PER_CHUNK = 2**20
_FREE_OPTIONS = ("epochs", "callbacks")  # options that may differ, or are compared separately
_GROUP_OPTIONS = ("lr", "momentum", "nesterov", "weight_decay")  # which a user's own optimizer sets itself


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RunFingerprint:
    """What identifies a run.

    `run` has the formula, condition, options, names of the coefficients, levels and counts as JSON values, and the versions, which
    decide the last bits and may differ.
    """

    run: Mapping[str, Any]
    data: Mapping[str, Array]  # shifts and scales of the columns, a projection of the Hessian, X'y, the order of the rows
    is_epoch_only: bool = False  # whether a run resumes only at the start of an epoch: its loader draws another order each time
    sampler: str = ""  # the name of a sampler that may draw from generators which no checkpoint holds


def fingerprint_of(
    design: Design,
    problem: StandardizedProblem,
    options: TrainingOptions,
    rows: BatchSource,
    validation: BatchSource | None,
    *,
    group: ProcessGroup,
) -> RunFingerprint:
    """Return the fingerprint of a run with complete options; processes with different GPUs have the same."""
    formula = design.formula
    if not group.is_single:
        options = replace(options, device=torch.device(options.device).type)
    by_name = isinstance(options.optimizer, str)
    excluded = ("parameter_groups",) if by_name else ("parameter_groups", *_GROUP_OPTIONS)
    run = {
        "formula": formula.text,
        "where": design.where.text if design.where else None,
        **formula.weights_option,
        "recipe": {
            field.name: describe_class(getattr(options, field.name)) for field in fields(options) if field.name not in excluded
        },
        "groups": None if by_name else [describe_class(asdict(part)) for part in options.parameter_groups],
        "names": list(problem.names),
        "levels": {text: [describe_class(level) for level in coding.levels] for text, coding in design.learned.contrasts.items()},
        "rows": rows.n,
        "validation": None if validation is None else validation.n,
        "streams": rows.group.size if isinstance(rows, StreamedBatches) else 1,
        "versions": {
            "squarely": __version__,
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "processes": group.size,
            "threads": 1 if rows.n * rows.features <= SINGLE_THREAD_CELLS else torch.get_num_threads(),
        },
    }
    p = len(problem.names)
    data = {
        "shift": problem.shift,
        "scale": problem.scale,
        "H": problem.H @ np.cos(np.arange(1.0, p + 1.0)),  # p numbers that differ for other columns, in place of p x p
        "h": problem.h,
        "order": np.array([_order_checksum(rows if options.engine == "rows" else None), _order_checksum(validation)]),
    }
    sampler = unknown_sampler_name(rows.source.loader) if isinstance(rows, LoaderBatches) else ""
    return RunFingerprint(run=run, data=data, is_epoch_only=isinstance(rows, LoaderBatches) and options.shuffle, sampler=sampler)


def _order_checksum(rows: BatchSource | None) -> float:
    """Sum labels, or sizes of streamed parts, with weights from -1/2 to 1/2: another order has another sum, 0 without rows."""
    if isinstance(rows, StreamedBatches):
        sizes = np.array([part.rows or 0 for part in rows.source.parts()], dtype=np.float64)
        local = float(((np.arange(len(sizes)) + 0.5) / max(len(sizes), 1) - 0.5) @ sizes)
    elif isinstance(rows, InMemoryBatches):
        local = 0.0
        for start in range(0, len(rows.y), _ROWS_PER_CHUNK):
            y, first = rows.y[start : start + _ROWS_PER_CHUNK].reshape(-1).double(), rows.first + start
            positions = torch.arange(first, first + len(y), dtype=torch.float64, device=y.device)
            local += float(torch.dot((positions + 0.5) / rows.n - 0.5, y))
        local /= rows.n
    else:
        return 0.0
    return float(rows.group.all_reduce_arrays([np.array([local])])[0][0])


def require_same_run(checkpoint: Checkpoint, now: RunFingerprint, epochs: int, label: str) -> None:
    """Refuse a checkpoint of another formula, options or data, or of more epochs; `label` names it.

    Raises
    ------
    OptionError, DataError : it is of another run; the message names the differences.
    KeyError, TypeError, ValueError : its values do not fit together.
    """
    was = checkpoint.run
    for name in ("formula", "where", "weights", "frequencies"):
        if was.get(name) != now.run.get(name):  # checkpoints of earlier versions have no weights
            raise OptionError(
                f"The checkpoint {label!r} has {name}={was.get(name)!r}, and this run has {now.run.get(name)!r}. "
                "Give the same, or another folder."
            )
    changed = [
        *_describe_changes(was["recipe"], now.run["recipe"]),
        *_describe_group_changes(was.get("groups"), now.run["groups"], now.run["recipe"]),
    ]
    if changed:
        raise OptionError(
            f"The checkpoint {label!r} is of another run: {'; '.join(changed)}. Give the same, or start again in another folder."
        )
    _require_shape(was, now, label)
    _require_numbers(checkpoint.tensors, now, label)
    if checkpoint.epoch > epochs or (checkpoint.epoch == epochs and checkpoint.batch):
        raise OptionError(
            f"The checkpoint {label!r} has done {checkpoint.epoch:,} epochs, and epochs={epochs} asks for fewer. Give more."
        )


def _describe_changes(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    defaults = TrainingOptions()
    for name in (name for name in now if name not in _FREE_OPTIONS):
        before = was[name] if name in was else describe_class(getattr(defaults, name))  # a newer option
        same_decay = name == "weight_decay" and _weight_decay_of(was) == _weight_decay_of(now)
        same_average = name == "average" and _is_half(was) and _is_half(now)
        if not same_decay and not same_average and before != now[name]:
            yield f"{name} was {describe_value(before)} and is {describe_value(now[name])}"
    if was["callbacks"] != now["callbacks"]:
        yield f"callbacks were {describe_value(was['callbacks'])} and are {describe_value(now['callbacks'])}"


def _weight_decay_of(options: Mapping[str, Any]) -> Any:
    return weight_decay_of(TrainingOptions(optimizer=options["optimizer"], weight_decay=options.get("weight_decay")))


def _is_half(options: Mapping[str, Any]) -> bool:
    """Return whether iterates are averaged over the second half of the epochs, as with average=True."""
    return options.get("average") is not None and options["average"] == options["epochs"] // 2


def _describe_group_changes(was: Any, now: Any, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the differences between the groups of a user's own optimizer; early checkpoints lack them."""
    if was is None or now is None:
        return
    if len(was) != len(now):
        yield f"the optimizer had {pluralize(len(was), 'group')} of parameters and has {len(now):,}"
        return
    cycled = () if options["scheduler"] is None else ("momentum",)  # some schedulers change it in an optimizer that is used again
    for number, (before, after) in enumerate(zip(was, now, strict=True), start=1):
        old, new = dict(before["dict"]), dict(after["dict"])
        if old["kind"] != new["kind"]:
            return  # `restore` raises the error
        of = f" of group {number:,}" if len(now) > 1 else ""
        for name in new:
            if name in old and name not in cycled and old[name] != new[name]:
                yield f"{name}{of} of the optimizer was {describe_value(old[name])} and is {describe_value(new[name])}"


def _require_shape(was: Mapping[str, Any], now: RunFingerprint, label: str) -> None:
    for name, noun in (("rows", "rows"), ("validation", "validation rows")):
        if was[name] != now.run[name]:
            before, after = (("no" if n is None else f"{n:,}") for n in (was[name], now.run[name]))
            raise DataError(f"The checkpoint {label!r} is of {before} {noun}, and these are {after}. Give the same data.")
    if was.get("streams", 1) != now.run["streams"]:
        raise OptionError(
            f"The checkpoint {label!r} is of batches that {was.get('streams', 1)} processes streamed together, and now there are "
            f"{now.run['streams']}. Start as many, or start again in another folder."
        )
    for text, levels in now.run["levels"].items():
        before = was["levels"].get(text)
        if before != levels:
            gone, new = [x for x in before or () if x not in levels], [x for x in levels if x not in (before or ())]
            raise DataError(
                f"The checkpoint {label!r} is of other levels of {text!r}: {_list_values(gone)} are gone and {_list_values(new)} "
                "are new. Give the same data."
            )
    if was["names"] != now.run["names"]:
        raise DataError(
            f"The checkpoint {label!r} is of the coefficients {_list_values(was['names'])}, and these are "
            f"{_list_values(now.run['names'])}. Give the same formula and data."
        )


def _require_numbers(tensors: Mapping[str, torch.Tensor], now: RunFingerprint, label: str) -> None:
    was = {name: tensors[f"data.{name}"].double().numpy() for name in now.data}
    if any(was[name].shape != values.shape for name, values in now.data.items()):
        raise ValueError("its data have another number of columns.")
    allowed = {name: _TOLERANCE * np.abs(values).max(initial=0.0) for name, values in now.data.items()}
    allowed |= {"shift": _TOLERANCE * (np.abs(now.data["shift"]) + now.data["scale"]), "scale": _TOLERANCE * now.data["scale"]}
    allowed["order"] = np.full(2, _ORDER_TOLERANCE)
    nouns = {"shift": "mean", "scale": "standard deviation"}
    for name, values in now.data.items():
        differs = np.flatnonzero(~(np.abs(was[name] - values) <= allowed[name]))
        if not len(differs):
            continue
        if name == "order":
            raise DataError(f"The checkpoint {label!r} is of these rows in another order. Give them in the same order.")
        i = differs[0]
        noun = nouns.get(name, "sum of products")
        raise DataError(
            f"The checkpoint {label!r} is of other data: a {noun} was {was[name][i]:.9g} and is {values[i]:.9g}. "
            "Give the same data."
        )


def _list_values(values: Any) -> str:
    return listed(map(describe_value, values), most=6) or "none"
