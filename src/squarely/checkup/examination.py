"""Examine a training loop: run it on test problems in a child process, record it, and apply the rules."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from squarely.checkup.findings import Checkup, Finding, Remark, SourceLine, Verified
from squarely.checkup.fixtures.objects import FixtureObjects, make_objects, set_seeds
from squarely.checkup.fixtures.targets import Call, Target, load_target
from squarely.checkup.problem import Problem, make_problem
from squarely.checkup.recorder.recorder import Recorder
from squarely.checkup.rules.all_rules import find_mistakes, sort_findings
from squarely.checkup.rules.errors import line_of, translate_error
from squarely.checkup.rules.rates import diverged
from squarely.checkup.rules.run import Run
from squarely.checkup.runner.child_process import run_in_child
from squarely.errors import InputError

_SHAPES = re.compile(r"shapes cannot be multiplied \(\d+x(\d+) and (\d+)x\d+\)|size mismatch.*\[(\d+)\].*\[(\d+)")
_NUMPY = re.compile(r"expected np.ndarray|got Tensor|'Tensor' object has no attribute '(?:astype|copy|values|to_numpy)'")
_PRIMES = (211, 421, 839, 1511, 3023)


def examine(spec: Any, *, fixtures: Mapping[str, object] | None = None, timeout: float = 60.0) -> Checkup:
    """Run a loop in a child process with a time limit, and return what was found.

    Raises
    ------
    InputError : the loop cannot be called, does not end in time, or ends the process.
    """
    result = run_in_child(lambda: _to_plain(examine_here(spec, fixtures)), timeout=timeout)
    if result.value is None:
        raise InputError(_describe_ending(result))
    if "error" in result.value:
        raise InputError(result.value["error"])
    checkup = _from_plain(result.value)
    return replace(checkup, output=result.output, remarks=(*checkup.remarks, *result.remarks))


def _describe_ending(result: Any) -> str:
    shown = result.output.strip()
    tail = f" It printed: {shown[-300:]!r}" if shown else ""
    return f"{result.message}{tail}"


def examine_here(spec: Any, fixtures: Mapping[str, object] | None = None) -> Checkup:
    """Run a loop in this process, and return what was found."""
    target = load_target(spec, fixtures)
    run, error, remarks = _run_until_it_fits(target, fixtures)
    results: list[Finding | Remark | Verified] = []
    translated = translate_error(error) if error is not None else None
    if error is not None and translated is None:
        if isinstance(error, InputError):
            raise error
        raise InputError(_describe_error(target, error)) from error
    _require_training(target, run, error)
    if translated is not None:
        results.append(translated)
    results += find_mistakes(run, is_complete=error is None)
    if error is None and target.kind != "script":
        results += _carried_over(target, fixtures, run)
        results += _raw_columns(target, fixtures, run)
    findings = sort_findings([result for result in results if isinstance(result, Finding)])
    return Checkup(
        target=target.name,
        findings=(*findings, *_other_shape(run, remarks, findings)),
        verified=tuple(result.text for result in results if isinstance(result, Verified)),
        remarks=(*(result.text for result in results if isinstance(result, Remark)), *remarks),
    )


def _require_training(target: Target, run: Run, error: BaseException | None) -> None:
    if error is None and not run.trace.backwards and not run.trace.steps and not run.changes:
        moved = any((values != run.trace.initial[number]).any() for number, values in run.trace.final.items())
        if not run.forwards and not moved:
            raise InputError(
                f"{target.name} trains nothing: it calls no model, computes no gradient and takes no step of an optimizer. "
                "Give the function that contains the training loop."
            )


def _describe_error(target: Target, error: BaseException) -> str:
    line = line_of(error)
    where = f" at line {line.line} of {Path(line.file).name}: {line.text}" if line is not None else ""
    return f"{target.name} raised {type(error).__name__}: {error}{where}"


def _carried_over(target: Target, fixtures: Mapping[str, object] | None, run: Run) -> Iterator[Finding]:
    """Call the loop again: a second run that starts where the first one ended has kept its state."""
    if not run.trained or {"model", "net"} & set(run.given):
        return
    for fresh in (True, False) if target.kind in {"fit", "skorch"} else (True,):
        again, error = _record(target, run.form, fixtures, fresh=fresh)
        if error is not None or not again.trained:
            continue
        first, second = run.trained_values(run.trace.initial), again.trained_values(again.trace.initial)
        last = run.trained_values(run.trace.final)
        same = len(last) == len(second) and bool(np.isfinite(last).all()) and bool((last == second).all())
        if same and not (first == last).all():
            yield Finding(
                key="state-carried-over",
                confidence="certain" if fresh else "possible",
                evidence="A second call starts with the parameters at which the first call ended: the model is not made anew.".replace(
                    "made anew", "created again"
                ),
                numbers={"largest_difference": 0.0},
                source=run.line_with("nn.Linear(", "Sequential(", "requires_grad=True", "Model("),
            )
            return


def _raw_columns(target: Target, fixtures: Mapping[str, object] | None, run: Run) -> Iterator[Finding]:
    """Give a loop that takes X and has a model of its own raw columns."""
    if (
        not {"X", "dataset", "loader"} & set(run.given)
        or {"optimizer", "model"} & set(run.given)
        or run.problem is None
        or diverged(run)
    ):
        return
    raw, error = _record(target, {**run.form, "standardized": False}, fixtures)
    if error is None and diverged(raw):
        X = raw.problem.X if raw.problem is not None else np.zeros((0, 0))
        yield Finding(
            key="not-standardised",
            confidence="possible",
            evidence=f"On columns with means of {', '.join(f'{mean:.3g}' for mean in X.mean(axis=0))} the loop diverges, on standardized "
            "columns it does not: it does not standardize its inputs.",
            numbers={"largest_mean": float(np.abs(X.mean(axis=0)).max())},
            source=run.batches[0].forward.line if run.batches else None,
        )


def _other_shape(run: Run, remarks: list[str], findings: list[Finding]) -> Iterator[Finding]:
    if any("(n,)" in remark for remark in remarks) and all(finding.key != "shape-broadcast" for finding in findings):
        yield Finding(
            key="shape-broadcast",
            confidence="possible",
            evidence="With targets of shape (n, 1), as the fixtures have them, the loss broadcasts to n x n numbers; with targets of shape "
            "(n,) it does not.",
            source=run.comparisons[0].line if run.comparisons else None,
        )


def _to_plain(checkup: Checkup) -> dict[str, Any]:
    return asdict(checkup)


def _from_plain(value: Mapping[str, Any]) -> Checkup:
    findings = []
    for entry in value["findings"]:
        source = entry.pop("source")
        findings.append(Finding(**entry, source=None if source is None else SourceLine(**source)))
    return Checkup(
        target=value["target"],
        findings=tuple(findings),
        verified=tuple(value["verified"]),
        remarks=tuple(value["remarks"]),
        output=value["output"],
    )
