"""The Identity of a run: formula, recipe and data, which a checkpoint must share with the run that goes on from it."""

from __future__ import annotations

import inspect
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
from squarely.descent.checkpoint.serialize import NamedTensors, describe_class, describe_value
from squarely.descent.distributed.process_group import ProcessGroup
from squarely.descent.distributed.sharding import ShardedBatches, ShardedStream
from squarely.descent.loop.training_loop import needs_single_thread
from squarely.descent.options.optimizers import OPTIMIZERS
from squarely.descent.options.options import TrainingOptions
from squarely.design import Design
from squarely.errors import DataError, OptionError, pluralize
from squarely.moments import StandardizedProblem
from squarely.numerics import Array

_TOLERANCE = 1e-12  # relative: sums in another order differ by far less, other data by far more
_ORDER_TOLERANCE = 1e-6  # of a standard deviation: float32 rounds to a tenth of it; n shuffled rows are 0.3 / sqrt(n) away
_ROWS_PER_CHUNK = 2**20  # rows that are looked at at once
_FREE_OPTIONS = ("epochs", "callbacks")  # what may differ in a recipe, or is looked at apart
_GROUP_OPTIONS = ("lr", "momentum", "nesterov", "weight_decay")  # which an optimiser of the user's own has by itself


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RunFingerprint:
    """What a run is of.

    Attributes
    ----------
    run : formula, condition, recipe, names of the coefficients, levels and counts, as JSON knows values; and the versions that
        decide the last bits, which may differ.
    data : name -> numbers: shifts and scales of the columns, a projection of the Hessian, X'y, the order of the rows.
    is_epoch_only : whether an epoch can only be begun: the user's loader draws another order each time.
    sampler : the name of a sampler that may draw from generators which no checkpoint holds; empty if there is none.
    """

    run: Mapping[str, Any]
    data: Mapping[str, Array]
    is_epoch_only: bool = False
    sampler: str = ""

    @property
    def tensors(self) -> NamedTensors:
        """The data's numbers as tensors."""
        return {f"data.{name}": torch.from_numpy(np.array(values, dtype=np.float64)) for name, values in self.data.items()}


def fingerprint_of(
    design: Design,
    problem: StandardizedProblem,
    recipe: TrainingOptions,
    rows: BatchSource,
    validation: BatchSource | None,
    *,
    process_group: ProcessGroup,
) -> RunFingerprint:
    """Take down what a run is of; `recipe` with nothing left open. Processes have one identity, whichever GPU each has."""
    formula = design.formula
    if not process_group.is_single:
        recipe = replace(recipe, device=torch.device(recipe.device).type)
    named = isinstance(recipe.optimizer, str)
    unasked = ("parameter_groups",) if named else ("parameter_groups", *_GROUP_OPTIONS)
    run = {
        "formula": formula.text,
        "where": design.where.text if design.where else None,
        "recipe": {
            field.name: describe_class(getattr(recipe, field.name)) for field in fields(recipe) if field.name not in unasked
        },
        "groups": None if named else [describe_class(asdict(group)) for group in recipe.parameter_groups],
        "names": list(problem.names),
        "levels": {text: [describe_class(level) for level in coding.levels] for text, coding in design.learned.contrasts.items()},
        "rows": rows.n,
        "validation": None if validation is None else validation.n,
        "streams": process_group.size if isinstance(rows, ShardedStream) else 1,
        "versions": {
            "squarely": __version__,
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "processes": process_group.size,
            "threads": 1 if needs_single_thread(rows.n * rows.features) else torch.get_num_threads(),
        },
    }
    p = len(problem.names)
    data = {
        "shift": problem.shift,
        "scale": problem.scale,
        "H": problem.H @ np.cos(np.arange(1.0, p + 1.0)),  # p numbers in place of p x p; other columns give others
        "h": problem.h,
        "order": np.array([_order_checksum(rows), 0.0 if validation is None else _order_checksum(validation)]),
    }
    loaded = isinstance(rows, LoaderBatches)
    sampler = unknown_sampler_name(rows.source.loader) if isinstance(rows, LoaderBatches) else ""
    return RunFingerprint(run=run, data=data, is_epoch_only=loaded and recipe.shuffle, sampler=sampler)


def _order_checksum(rows: BatchSource) -> float:
    """Sum up labels, or sizes of the parts that are streamed, with weights from -1/2 to 1/2: another order gives another number."""
    if isinstance(rows, StreamedBatches):
        sizes = np.array([part.rows or 0 for part in rows.source.parts()], dtype=np.float64)
        return float(((np.arange(len(sizes)) + 0.5) / max(len(sizes), 1) - 0.5) @ sizes)
    if isinstance(rows, ShardedStream):
        return float(rows.all_reduce(np.array([_order_checksum(rows.local)]))[0])
    if isinstance(rows, ShardedBatches):
        return float(
            rows.all_reduce(np.array([_label_order_checksum(rows.local.y, sum(rows.counts[: rows.process_group.rank]), rows.n)]))[0]
        )
    return _label_order_checksum(rows.y, 0, rows.n) if isinstance(rows, InMemoryBatches) else 0.0


def _label_order_checksum(labels: torch.Tensor, first: int, n: int) -> float:
    """Give what some labels, of n the first of which is at a position, add to the sum."""
    total = 0.0
    for start in range(0, len(labels), _ROWS_PER_CHUNK):
        y = labels[start : start + _ROWS_PER_CHUNK].reshape(-1).double()
        places = torch.arange(first + start, first + start + len(y), dtype=torch.float64, device=y.device)
        total += float(torch.dot((places + 0.5) / n - 0.5, y))
    return total / n


def require_same_run(was: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], now: RunFingerprint, label: str) -> None:
    """Refuse a checkpoint of another formula, recipe or data, `was` with `tensors`; its folder is called `label`.

    Raises
    ------
    OptionError, DataError : it is of another run; the message names the differences.
    KeyError, TypeError, ValueError : it is not as one was written.
    """
    for name in ("formula", "where"):
        if was[name] != now.run[name]:
            raise OptionError(
                f"The checkpoint {label!r} has {name}={was[name]!r}, and this run has {now.run[name]!r}. "
                "Give the same, or another folder."
            )
    changed = [
        *_describe_changes(was["recipe"], now.run["recipe"]),
        *_describe_group_changes(was.get("groups"), now.run["groups"], now.run["recipe"]),
    ]
    if changed:
        raise OptionError(
            f"The checkpoint {label!r} is of another run: {'; '.join(changed)}. Give the same, or begin anew in another folder."
        )
    _require_shape(was, now, label)
    _require_numbers(tensors, now, label)


def _describe_changes(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    usual = TrainingOptions()
    for name in dict.fromkeys([*was, *now]):
        if name in _FREE_OPTIONS or name not in now:
            continue
        before = was[name] if name in was else describe_class(getattr(usual, name))  # an option that did not exist then
        if name == "weight_decay" and _weight_decay_of(was) == _weight_decay_of(now):
            continue
        if name == "average" and _is_half(was) and _is_half(now):
            continue
        if before != now[name]:
            yield f"{name} was {describe_value(before)} and is {describe_value(now[name])}"
    if was["callbacks"] != now["callbacks"]:
        yield f"callbacks were {describe_value(was['callbacks'])} and are {describe_value(now['callbacks'])}"


def _weight_decay_of(recipe: Mapping[str, Any]) -> Any:
    """Give the weight decay of a recipe; where it leaves it to its optimiser, that one's."""
    kind, given = recipe["optimizer"], recipe.get("weight_decay")
    if given is not None or not isinstance(kind, str):
        return given
    taken = inspect.signature(OPTIMIZERS[kind]).parameters.get("weight_decay")
    return None if taken is None else float(taken.default)


def _is_half(recipe: Mapping[str, Any]) -> bool:
    """Tell whether iterates are averaged over the second half of the epochs, as with average=True."""
    return recipe.get("average") is not None and recipe["average"] == recipe["epochs"] // 2


def _describe_group_changes(was: Any, now: Any, recipe: Mapping[str, Any]) -> Iterator[str]:
    """Name what an optimiser of the user's own was made with, and is not now; a checkpoint of before may not say."""
    if was is None or now is None:
        return
    if len(was) != len(now):
        yield f"the optimiser had {pluralize(len(was), 'group')} of parameters and has {len(now):,}"
        return
    cycled = () if recipe["scheduler"] is None else ("momentum",)  # which some schedulers change in an optimiser that is used again
    for number, (before, after) in enumerate(zip(was, now, strict=True), start=1):
        old, new = dict(before["dict"]), dict(after["dict"])
        if old["kind"] != new["kind"]:
            return  # which is said where the state is put back
        of = f" of group {number:,}" if len(now) > 1 else ""
        for name in new:
            if name in old and name not in cycled and old[name] != new[name]:
                yield f"{name}{of} of the optimiser was {describe_value(old[name])} and is {describe_value(new[name])}"


def _require_shape(was: Mapping[str, Any], now: RunFingerprint, label: str) -> None:
    for name, noun in (("rows", "rows"), ("validation", "validation rows")):
        if was[name] != now.run[name]:
            before, after = (("no" if n is None else f"{n:,}") for n in (was[name], now.run[name]))
            raise DataError(f"The checkpoint {label!r} is of {before} {noun}, and these are {after}. Give the same data.")
    if was.get("streams", 1) != now.run["streams"]:
        raise OptionError(
            f"The checkpoint {label!r} is of batches that {was.get('streams', 1)} processes streamed together, and now there are "
            f"{now.run['streams']}. Start as many, or begin anew in another folder."
        )
    for text, levels in now.run["levels"].items():
        if was["levels"].get(text) != levels:
            gone = [level for level in was["levels"].get(text, ()) if level not in levels]
            new = [level for level in levels if level not in was["levels"].get(text, ())]
            raise DataError(
                f"The checkpoint {label!r} is of other levels of {text!r}: {_list_names(gone)} are gone and {_list_names(new)} are "
                "new. Give the same data."
            )
    if was["names"] != now.run["names"]:
        raise DataError(
            f"The checkpoint {label!r} is of the coefficients {_list_names(was['names'])}, and these are {_list_names(now.run['names'])}. "
            "Give the same formula and data."
        )


def _require_numbers(tensors: Mapping[str, torch.Tensor], now: RunFingerprint, label: str) -> None:
    was = {name: tensors[f"data.{name}"].double().numpy() for name in now.data}
    if any(was[name].shape != values.shape for name, values in now.data.items()):
        raise ValueError("its numbers of the data are not of this many columns.")
    allowed = {name: _TOLERANCE * np.abs(values).max(initial=0.0) for name, values in now.data.items()}
    allowed |= {"shift": _TOLERANCE * (np.abs(now.data["shift"]) + now.data["scale"]), "scale": _TOLERANCE * now.data["scale"]}
    allowed["order"] = np.full(2, _ORDER_TOLERANCE)
    nouns = {"shift": "mean", "scale": "spread"}
    for name, values in now.data.items():
        differs = np.flatnonzero(~(np.abs(was[name] - values) <= allowed[name]))
        if not len(differs):
            continue
        if name == "order":
            raise DataError(f"The checkpoint {label!r} is of these rows in another order. Give them in the order that they had.")
        i = differs[0]
        noun = nouns.get(name, "sum of products")
        raise DataError(
            f"The checkpoint {label!r} is of other data: a {noun} was {was[name][i]:.9g} and is {values[i]:.9g}. "
            "Give the same data."
        )


def _list_names(names: Any) -> str:
    shown = [describe_value(name) for name in names[:6]]
    return f"{', '.join(shown) or 'none'}{', ...' if len(names) > 6 else ''}"
