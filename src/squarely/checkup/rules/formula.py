"""Updates of loops that compute the gradient by a formula."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from squarely.checkup.findings import Finding, Remark, Verified
from squarely.checkup.rules.run import Run
from squarely.checkup.rules.steps.changes import proportion


def check_formula(run: Run) -> Iterator[Finding | Remark | Verified]:
    """Compare each update with the gradients at its own weights and at those before."""
    if run.trace.functional_calls and not run.backwards:
        yield Remark("The loop computes its gradients with torch.func, where no values can be read: nothing was compared.")
    if not run.backwards or any(backward.by_call != "formula" for backward in run.backwards):
        return
    yield Remark("The loop computes the gradient by a formula, so it is compared by what the updates do.")
    own = [proportion(change.difference, change.gradients, tolerance=5e-3) for change in run.changes]
    pairs = list(pairwise(run.changes))
    before = [proportion(change.difference, last.gradients, tolerance=5e-3) for last, change in pairs]
    if len(pairs) > 3 and np.isnan(own).mean() > 0.5 and np.isfinite(before).mean() > 0.8:
        yield Finding(
            key="stale-gradient",
            confidence="certain",
            evidence=f"{np.isfinite(before).sum()} of {len(run.changes)} updates are multiples of the gradient at the weights "
            "before the previous update.",
            numbers={"updates": len(run.changes), "factor": float(np.nanmedian(before))},
            source=run.changes[1].line,
        )
    if run.declared_lr and len(own) > 3 and np.nanmedian(own) > 0:
        yield Finding(
            key="wrong-loss",
            confidence="likely",
            evidence="The updates go along the gradient and not against it: each makes the squared error larger.",
            source=run.changes[0].line,
        )
