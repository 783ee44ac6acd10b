"""The Identity of a run: formula, recipe and data, which a checkpoint must share with the run that goes on from it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import torch

import squarely
from squarely.descent.batches.batch_source import Rows
from squarely.descent.batches.in_memory import Held
from squarely.descent.batches.loader import Loaded
from squarely.descent.batches.loader_pairs import draws_elsewhere
from squarely.descent.batches.streamed import Streamed
from squarely.descent.checkpoint.serialize import Tensors, described, said
from squarely.descent.distributed.process_group import Team
from squarely.descent.distributed.sharding import SharedHeld, SharedStream
from squarely.descent.loop.training_loop import on_one_thread
from squarely.descent.options.optimizers import OPTIMIZERS
from squarely.descent.options.options import Recipe
from squarely.design import Design
from squarely.errors import DataError, OptionError, pluralize
from squarely.moments import StandardizedProblem
from squarely.numerics import Array

_SAME = 1e-12  # relative: sums in another order differ by far less, other data by far more
_SAME_ORDER = 1e-6  # of a standard deviation: float32 rounds to a tenth of it; n shuffled rows are 0.3 / sqrt(n) away
_STRETCH = 2**20  # rows that are looked at at once
_FREE = ("epochs", "callbacks")  # what may differ in a recipe, or is looked at apart
_OF_GROUPS = ("lr", "momentum", "nesterov", "weight_decay")  # which an optimiser of the user's own has by itself


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Identity:
    """What a run is of.

    Attributes
    ----------
    run : formula, condition, recipe, names of the coefficients, levels and counts, as JSON knows values; and the versions that
        decide the last bits, which may differ.
    data : name -> numbers: shifts and scales of the columns, a projection of the Hessian, X'y, the order of the rows.
    undivided : whether an epoch can only be begun: the user's loader draws another order each time.
    sampler : the name of a sampler that may draw from generators which no checkpoint holds; empty if there is none.
    """

    run: Mapping[str, Any]
    data: Mapping[str, Array]
    undivided: bool = False
    sampler: str = ""

    @property
    def tensors(self) -> Tensors:
        """The data's numbers as tensors."""
        return {f"data.{name}": torch.from_numpy(np.array(values, dtype=np.float64)) for name, values in self.data.items()}


def identity_of(
    design: Design, problem: StandardizedProblem, recipe: Recipe, rows: Rows, validation: Rows | None, *, team: Team
) -> Identity:
    """Take down what a run is of; `recipe` with nothing left open. Processes have one identity, whichever GPU each has."""
    formula = design.formula
    if not team.alone:
        recipe = replace(recipe, device=torch.device(recipe.device).type)
    named = isinstance(recipe.optimizer, str)
    unasked = ("made",) if named else ("made", *_OF_GROUPS)
    run = {
        "formula": formula.text,
        "where": design.where.text if design.where else None,
        "recipe": {field.name: described(getattr(recipe, field.name)) for field in fields(recipe) if field.name not in unasked},
        "groups": None if named else [described(asdict(group)) for group in recipe.made],
        "names": list(problem.names),
        "levels": {text: [described(level) for level in coding.levels] for text, coding in design.learned.contrasts.items()},
        "rows": rows.n,
        "validation": None if validation is None else validation.n,
        "streams": team.size if isinstance(rows, SharedStream) else 1,
        "versions": {
            "squarely": squarely.__version__,
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "processes": team.size,
            "threads": 1 if on_one_thread(rows.n * rows.features) else torch.get_num_threads(),
        },
    }
    p = len(problem.names)
    data = {
        "shift": problem.shift,
        "scale": problem.scale,
        "H": problem.H @ np.cos(np.arange(1.0, p + 1.0)),  # p numbers in place of p x p; other columns give others
        "h": problem.h,
        "order": np.array([_order(rows), 0.0 if validation is None else _order(validation)]),
    }
    loaded = isinstance(rows, Loaded)
    sampler = draws_elsewhere(rows.source.loader) if isinstance(rows, Loaded) else ""
    return Identity(run=run, data=data, undivided=loaded and recipe.shuffle, sampler=sampler)


def _order(rows: Rows) -> float:
    """Sum up labels, or sizes of the parts that are streamed, with weights from -1/2 to 1/2: another order gives another number."""
    if isinstance(rows, Streamed):
        sizes = np.array([part.rows or 0 for part in rows.source.parts()], dtype=np.float64)
        return float(((np.arange(len(sizes)) + 0.5) / max(len(sizes), 1) - 0.5) @ sizes)
    if isinstance(rows, SharedStream):
        return float(rows.summed(np.array([_order(rows.own)]))[0])
    if isinstance(rows, SharedHeld):
        return float(rows.summed(np.array([_order_of_labels(rows.own.y, sum(rows.counts[: rows.team.rank]), rows.n)]))[0])
    return _order_of_labels(rows.y, 0, rows.n) if isinstance(rows, Held) else 0.0


def _order_of_labels(labels: torch.Tensor, first: int, n: int) -> float:
    """Give what some labels, of n the first of which is at a position, add to the sum."""
    total = 0.0
    for start in range(0, len(labels), _STRETCH):
        y = labels[start : start + _STRETCH].reshape(-1).double()
        places = torch.arange(first + start, first + start + len(y), dtype=torch.float64, device=y.device)
        total += float(torch.dot((places + 0.5) / n - 0.5, y))
    return total / n


def require_same(was: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], now: Identity, label: str) -> None:
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
        *_changes(was["recipe"], now.run["recipe"]),
        *_changes_of_groups(was.get("groups"), now.run["groups"], now.run["recipe"]),
    ]
    if changed:
        raise OptionError(
            f"The checkpoint {label!r} is of another run: {'; '.join(changed)}. Give the same, or begin anew in another folder."
        )
    _require_shape(was, now, label)
    _require_numbers(tensors, now, label)


def _changes(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    usual = Recipe()
    for name in dict.fromkeys([*was, *now]):
        if name in _FREE or name not in now:
            continue
        before = was[name] if name in was else described(getattr(usual, name))  # an option that did not exist then
        if name == "weight_decay" and _decay(was) == _decay(now):
            continue
        if name == "average" and _is_half(was) and _is_half(now):
            continue
        if before != now[name]:
            yield f"{name} was {said(before)} and is {said(now[name])}"
    if was["callbacks"] != now["callbacks"]:
        yield f"callbacks were {said(was['callbacks'])} and are {said(now['callbacks'])}"


def _decay(recipe: Mapping[str, Any]) -> Any:
    """Give the weight decay of a recipe; where it leaves it to its optimiser, that one's."""
    kind, given = recipe["optimizer"], recipe.get("weight_decay")
    if given is not None or not isinstance(kind, str):
        return given
    taken = inspect.signature(OPTIMIZERS[kind]).parameters.get("weight_decay")
    return None if taken is None else float(taken.default)


def _is_half(recipe: Mapping[str, Any]) -> bool:
    """Tell whether iterates are averaged over the second half of the epochs, as with average=True."""
    return recipe.get("average") is not None and recipe["average"] == recipe["epochs"] // 2


def _changes_of_groups(was: Any, now: Any, recipe: Mapping[str, Any]) -> Iterator[str]:
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
                yield f"{name}{of} of the optimiser was {said(old[name])} and is {said(new[name])}"


def _require_shape(was: Mapping[str, Any], now: Identity, label: str) -> None:
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
                f"The checkpoint {label!r} is of other levels of {text!r}: {_few(gone)} are gone and {_few(new)} are "
                "new. Give the same data."
            )
    if was["names"] != now.run["names"]:
        raise DataError(
            f"The checkpoint {label!r} is of the coefficients {_few(was['names'])}, and these are {_few(now.run['names'])}. "
            "Give the same formula and data."
        )


def _require_numbers(tensors: Mapping[str, torch.Tensor], now: Identity, label: str) -> None:
    was = {name: tensors[f"data.{name}"].double().numpy() for name in now.data}
    if any(was[name].shape != values.shape for name, values in now.data.items()):
        raise ValueError("its numbers of the data are not of this many columns.")
    allowed = {name: _SAME * np.abs(values).max(initial=0.0) for name, values in now.data.items()}
    allowed |= {"shift": _SAME * (np.abs(now.data["shift"]) + now.data["scale"]), "scale": _SAME * now.data["scale"]}
    allowed["order"] = np.full(2, _SAME_ORDER)
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


def _few(names: Any) -> str:
    shown = [said(name) for name in names[:6]]
    return f"{', '.join(shown) or 'none'}{', ...' if len(names) > 6 else ''}"
