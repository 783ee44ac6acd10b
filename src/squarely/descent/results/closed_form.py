"""A run in closed form, from its options to a `Training`. Nothing here needs PyTorch, which takes a second to import."""

from __future__ import annotations

from dataclasses import replace

from squarely.data import Source
from squarely.descent.loop.closed_form import run_closed_form
from squarely.descent.model.start import find_start
from squarely.descent.options.options import TrainingOptions
from squarely.descent.results.training import Training
from squarely.descent.run_theory.learning_rate import resolve_learning_rate
from squarely.descent.run_theory.limits import compute_theory
from squarely.descent.run_theory.theory_inputs import TheoryInputs, make_theory_inputs
from squarely.moments import Moments


def train_closed_form(
    moments: Moments,
    source: Source,
    options: TrainingOptions,
    inputs: TheoryInputs | None = None,
    *,
    remarks: tuple[str, ...] = (),
    has_user_loader: bool = False,
) -> Training:
    """Compute the run of checked options."""
    if inputs is None:
        inputs = make_theory_inputs(moments, source, standardize=options.standardize)
    problem = inputs.problem
    start = find_start(len(problem.scale) - 1, options, bias=problem.intercept)
    options, rate_remarks = resolve_learning_rate(options, inputs, lambda: start, is_plain=True)
    return Training(
        options=replace(options, stream=False),
        result=run_closed_form(start, inputs, options, float(moments.variances[-1])),
        problem=problem,
        moments=moments,
        source=source,
        theory=compute_theory(options, inputs, is_plain=True),
        remarks=remarks + rate_remarks,
        has_user_loader=has_user_loader,
    )
