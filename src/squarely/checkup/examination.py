"""Examine a training loop: run it on test problems in a child process, record it, and apply the rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import distributed

from squarely.checkup.findings import Checkup, Finding, Remark, SourceLine, Verified
from squarely.checkup.fixtures.targets import Target, load_target
from squarely.checkup.problem import ROWS
from squarely.checkup.ranks import ONE_RANK, compare_ranks, compare_rows, epoch_rows, first_changes
from squarely.checkup.rules.all_rules import find_mistakes, sort_findings
from squarely.checkup.rules.errors import line_of, translate_error
from squarely.checkup.rules.rates.divergence import diverged
from squarely.checkup.rules.run import Run
from squarely.checkup.rules.steps.carried_state import compare_calls
from squarely.checkup.runner.child_process import run_in_child
from squarely.checkup.runner.process_group import run_ranks
from squarely.checkup.runner.result import ChildResult
from squarely.checkup.variants import record, run_until_it_fits
from squarely.errors import InputError


def examine(spec: Any, *, fixtures: Mapping[str, object] | None = None, timeout: float = 60.0) -> Checkup:
    """Run a loop in a child process with a time limit, and return what was found.

    A loop for several processes runs in two of them.

    Raises
    ------
    InputError : the loop cannot be called, does not end in time, or ends the process.
    """

    def run() -> dict[str, Any]:
        target = load_target(spec, fixtures)
        if target.wants_processes:
            return {"wants_processes": True, "starts_group": target.starts_group}
        return _to_plain(_examine_target(target, fixtures))

    result = run_in_child(run, timeout=timeout)
    if result.value is not None and result.value.get("wants_processes"):
        return _examine_ranks(spec, fixtures, timeout, starts_group=result.value["starts_group"])
    return _from_result(result)


def examine_here(spec: Any, fixtures: Mapping[str, object] | None = None) -> Checkup:
    """Run a loop in this process, and return what was found."""
    return _examine_target(load_target(spec, fixtures), fixtures)


def _from_result(result: ChildResult, more: Iterable[Finding | Remark | Verified] = ()) -> Checkup:
    """Return the checkup of a child process, with what was found beside it."""
    if result.value is None:
        shown = result.output.strip()
        raise InputError(result.message + (f" It printed: {shown[-300:]!r}" if shown else ""))
    checkup = _from_plain(result.value)
    results = list(more)
    return replace(
        checkup,
        findings=tuple(sort_findings([*(one for one in results if isinstance(one, Finding)), *checkup.findings])),
        verified=(*checkup.verified, *(one.text for one in results if isinstance(one, Verified))),
        remarks=(*checkup.remarks, *(one.text for one in results if isinstance(one, Remark)), *result.remarks),
        output=result.output,
    )


def _examine_ranks(spec: Any, fixtures: Mapping[str, object] | None, timeout: float, *, starts_group: bool) -> Checkup:
    if distributed.is_available() and distributed.is_initialized():
        raise InputError(
            "This process has a torch.distributed group, and a loop of several processes is examined in a group of its processes. "
            "Call checkup before init_process_group, or after destroy_process_group."
        )

    def run() -> dict[str, Any]:
        target = load_target(spec, fixtures)
        recorded, error, remarks = run_until_it_fits(target, fixtures)
        checkup = _judge(target, recorded, error, remarks)
        kept = tuple(finding for finding in checkup.findings if finding.key not in ONE_RANK)
        return {**_to_plain(replace(checkup, findings=kept)), "changes": first_changes(recorded), "rows": epoch_rows(recorded)}

    results = run_ranks(run, timeout=timeout, start_group=not starts_group)
    failed = next((result for result in results if result.value is None and result.ending != "stopped"), None)
    if failed is not None:
        return _from_result(failed)
    values = [result.value for result in results if result.value is not None]
    rows = compare_rows([value["rows"] for value in values], ROWS)
    return _from_result(results[0], [*compare_ranks([value["changes"] for value in values]), *rows])


def _examine_target(target: Target, fixtures: Mapping[str, object] | None) -> Checkup:
    run, error, remarks = run_until_it_fits(target, fixtures)
    results: list[Finding | Remark] = []
    if error is None and target.kind != "script":
        results = [*_carried_over(target, fixtures, run), *_raw_columns(target, fixtures, run)]
    return _judge(target, run, error, remarks, results)


def _judge(
    target: Target, run: Run, error: BaseException | None, remarks: Iterable[str], more: Iterable[Finding | Remark] = ()
) -> Checkup:
    """Apply the rules to a run; an exception that is not a finding is raised."""
    translated = None if error is None else translate_error(error)
    if error is not None and translated is None:
        if isinstance(error, InputError):
            raise error
        raise InputError(_describe_error(target, error)) from error
    if error is None:
        _require_training(target, run)
    results = [*([] if translated is None else [translated]), *find_mistakes(run, is_complete=error is None), *more]
    findings = sort_findings([result for result in results if isinstance(result, Finding)])
    return Checkup(
        target=target.name,
        findings=(*findings, *_other_shape(run, remarks, findings)),
        verified=tuple(result.text for result in results if isinstance(result, Verified)),
        remarks=(*(result.text for result in results if isinstance(result, Remark)), *remarks, *_failures(run)),
    )


def _failures(run: Run) -> list[str]:
    failures = run.trace.failures
    return [f"{len(failures)} operations could not be read, the first because of {failures[0]}."] if failures else []


def _require_training(target: Target, run: Run) -> None:
    """Raise an InputError for a loop in which nothing that trains was recorded."""
    if run.trace.backwards or run.trace.steps or run.trace.functional_calls or run.comparisons:
        return
    advice = "Give the function that contains the training loop."
    if target.starts_processes:
        advice = (
            "It starts processes, which are not recorded: give the function that they run, with parameters rank and world_size."
        )
    raise InputError(
        f"{target.name} trains nothing: it compares no predictions with targets, computes no gradient and takes no step of an "
        f"optimizer. {advice}"
    )


def _describe_error(target: Target, error: BaseException) -> str:
    line = line_of(error)
    where = f" at line {line.line} of {Path(line.file).name}: {line.text}" if line is not None else ""
    return f"{target.name} raised {type(error).__name__}: {error}{where}"


def _carried_over(target: Target, fixtures: Mapping[str, object] | None, run: Run) -> Iterator[Finding]:
    """Call the loop again: a second run that starts where the first one ended has kept its state."""
    if not run.trained or {"model", "net"} & set(run.given):
        return
    before = run
    for fresh in (False, True) if target.kind in {"fit", "skorch"} else (True,):  # an old object goes on where this run ended
        again, error = record(target, run.form, fixtures, fresh=fresh, stop_after=2)
        if error is None and again.trained:
            finding = compare_calls(before, again, fresh=fresh and not target.is_object)
            before = again
            if finding is not None:
                yield finding


def _raw_columns(target: Target, fixtures: Mapping[str, object] | None, run: Run) -> Iterator[Remark]:
    """Give a loop that takes X and has a model of its own raw columns: where it diverges, X is to be standardized before."""
    takes_rows = {"X", "dataset", "loader"} & set(run.given) and not {"optimizer", "model"} & set(run.given)
    if not takes_rows or run.problem is None or diverged(run):
        return
    raw, error = record(target, {**run.form, "standardized": False}, fixtures, stop_after=60)
    if error is None and raw.problem is not None and diverged(raw):
        means = ", ".join(f"{mean:.3g}" for mean in raw.problem.X.mean(axis=0))
        yield Remark(f"On raw columns, with means of {means}, the loop diverges: give it standardized columns, as this test does.")


def _other_shape(run: Run, remarks: Iterable[str], findings: list[Finding]) -> Iterator[Finding]:
    if any("(n,)" in remark for remark in remarks) and all(finding.key != "shape-broadcast" for finding in findings):
        yield Finding(
            key="shape-broadcast",
            confidence="possible",
            evidence="With targets of shape (n, 1), as the fixtures have them, the loss broadcasts to n x n numbers. With targets "
            "of shape (n,) it does not.",
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
