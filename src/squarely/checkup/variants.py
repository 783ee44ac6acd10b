"""Run and record a training loop on the form of the test problem that it can work with."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from squarely.checkup.fixtures.objects import FixtureObjects, make_objects, set_seeds
from squarely.checkup.fixtures.targets import Target
from squarely.checkup.problem import make_problem
from squarely.checkup.recorder.backward_passes import RunStopped
from squarely.checkup.recorder.recorder import Recorder
from squarely.checkup.rules.run import Run

_SHAPES = re.compile(r"shapes cannot be multiplied \(\d+x(\d+) and (\d+)x\d+\)|size mismatch.*\[(\d+)\].*\[(\d+)")
_TENSOR_FOR_ARRAY = re.compile(r"expected np.ndarray|got Tensor|'Tensor' object has no attribute '(?:astype|copy|values|to_numpy)'")
_ARRAY_FOR_TENSOR = re.compile(r"'numpy.ndarray' object has no attribute|must be Tensor, not numpy.ndarray")
_HELD: list[object] = []  # of processes that train together: PyTorch may wait forever when a DistributedDataParallel is freed
_PRIMES = (211, 421, 839, 1511, 3023)  # numbers of rows for loops with larger batches of their own


def run_until_it_fits(target: Target, fixtures: Mapping[str, object] | None) -> tuple[Run, BaseException | None, list[str]]:
    """Run the loop on the first form of the problem that it can work with: columns, arrays, more rows, one-dimensional targets."""
    form: dict[str, Any] = {"as_numpy": target.wants_numpy}
    run, error = record(target, form, fixtures)
    if target.kind == "script":
        return run, error, []
    for _ in range(3):
        change = _other_form(form, run, error)
        if change is None:
            break
        form |= change
        run, error = record(target, form, fixtures)
    remarks = []
    if run.problem is not None and run.problem.X.shape[1] != 3:
        columns = run.problem.X.shape[1]
        remarks.append(f"The loop expects {columns} column{'s' if columns > 1 else ''} of X: the test has as many.")
    broadcast = [event for event in run.comparisons if event.broadcast]
    if broadcast or error is not None:
        other, other_error = record(target, form | {"target_ndim": 1}, fixtures)
        if other_error is None and not any(event.broadcast for event in other.comparisons):
            remarks.append("The loop expects targets of shape (n,), not (n, 1).")
            return other, other_error, remarks
    return run, error, remarks


def _other_form(form: Mapping[str, Any], run: Run, error: BaseException | None) -> dict[str, Any] | None:
    """Return what to change in the problem for a loop that has failed on it, or for its larger batches; None for nothing."""
    if error is not None:
        return _form_after_error(form, str(error))
    if run.problem is None:
        return None
    usual = {len(run.problem.X), run.problem.batch_size}
    largest = max((event.batch_size or 0 for event in run.loader_starts if event.batch_size not in usual), default=0)
    larger = next((prime for prime in _PRIMES if prime > 5 * largest), None)
    if larger is not None and largest > len(run.problem.X) / 2 and larger > len(run.problem.X):
        return {"rows": larger}
    return None


def _form_after_error(form: Mapping[str, Any], message: str) -> dict[str, Any] | None:
    if not form["as_numpy"] and _TENSOR_FOR_ARRAY.search(message):
        return {"as_numpy": True}
    if form["as_numpy"] and _ARRAY_FOR_TENSOR.search(message):
        return {"as_numpy": False}
    found = _SHAPES.search(message)
    widths = [int(width) for width in found.groups() if width] if found else []
    if len(widths) == 2 and widths[0] == form.get("columns", 3) and 0 < widths[1] <= 200:
        return {"columns": widths[1]}
    return None


def record(
    target: Target,
    form: Mapping[str, Any],
    fixtures: Mapping[str, object] | None,
    *,
    fresh: bool = True,
    stop_after: int | None = None,
) -> tuple[Run, BaseException | None]:
    """Run a loop once and record it, at most `stop_after` backward passes; return the run and what the loop raised."""
    problem = make_problem(**form)
    objects = make_objects(problem, fixtures)
    set_seeds(problem.seed)
    output = io.StringIO()
    with Recorder(stop_after) as recorder, contextlib.redirect_stdout(_Tee(sys.stdout, output)):
        call = target.call(objects, fresh=fresh)
    if "WORLD_SIZE" in os.environ:
        _HELD.append((recorder, objects, call))
    given = {fixture for name, fixture in target.fixtures.items() if not target.parameters.get(name, False)}
    run = Run(
        trace=recorder.trace,
        problem=None if target.kind == "script" else problem,
        arguments={**call.arguments, **call.settings},
        given=frozenset(given | set(fixtures or ())),
        given_optimizers=_given_optimizers(recorder, objects, given),
        returned=call.returned,
        output=output.getvalue(),
        source=_source_of(target),
        form=dict(form),
    )
    return run, None if isinstance(call.error, RunStopped) else call.error


class _Tee(io.TextIOBase):
    """Writes to two streams."""

    def __init__(self, *streams: Any) -> None:
        self._streams = streams

    def write(self, text: str) -> int:
        for stream in self._streams:
            stream.write(text)
        return len(text)

    def flush(self) -> None:
        for stream in self._streams:
            stream.flush()


def _given_optimizers(recorder: Recorder, objects: FixtureObjects, given: set[str]) -> frozenset[int]:
    if "optimizer" not in given:
        return frozenset()
    return frozenset(number for number, known in enumerate(recorder.optimizers) if known is objects["optimizer"])


def _source_of(target: Target) -> str:
    if target.file is None:
        return ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return Path(target.file).read_text(encoding="utf-8")
    return ""
