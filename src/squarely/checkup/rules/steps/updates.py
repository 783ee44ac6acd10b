"""The updates: clipped gradients, and what changes the parameters beside lr times the gradient."""

from __future__ import annotations

from collections.abc import Iterator

from squarely.checkup.findings import Finding, Remark, Verified
from squarely.checkup.recorder.trace import Step
from squarely.checkup.rules.run import Run
from squarely.checkup.rules.steps.added_terms import check_added_terms
from squarely.checkup.rules.steps.clipping import check_clipping


def check_updates(run: Run) -> Iterator[Finding | Remark | Verified]:
    """Compare each change of the parameters with the declared update."""
    findings = [*check_clipping(run), *_changed_options(run), *check_added_terms(run)]
    yield from findings
    if run.changes and not findings:
        yield Verified(f"{len(run.changes)} updates are what the optimizer and its options say.")


_DECLARED = {"momentum": "undeclared-momentum", "weight_decay": "undeclared-weight-decay"}


def _changed_options(run: Run) -> Iterator[Finding]:
    """The optimizer that the loop was given has another momentum or weight decay when it steps."""
    for step in run.events(Step):
        if step.optimizer_class != "SGD" or step.optimizer not in run.given_optimizers:
            continue
        for option, key in _DECLARED.items():
            value = step.options.get(option)
            if isinstance(value, (int, float)) and value:
                yield Finding(
                    key=key,
                    confidence="certain",
                    evidence=f"The optimizer was given with {option}=0, and steps with {option}={value:g}.",
                    numbers={f"found_{option}": float(value)},
                    source=run.line_with(option) or step.line,
                )
        return
