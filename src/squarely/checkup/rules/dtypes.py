"""Types of numbers that lose values without an error."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from squarely.checkup.findings import Finding, Remark, SourceLine, Verified
from squarely.checkup.recorder.trace import Forward
from squarely.checkup.rules.run import Run
from squarely.numerics import Array

_CASTS = (
    ".long()",
    ".int()",
    "torch.long",
    "torch.int",
    "astype(int",
    "astype('int",
    'astype("int',
    "LongTensor",
    "IntTensor",
    ".round()",
)
_LOW = ("float16", "bfloat16")


def check_dtypes(run: Run) -> Iterator[Finding | Remark | Verified]:
    """Find inputs and targets that were made integers, and arithmetic of half precision."""
    line = run.line_with(*_CASTS)
    if run.problem is not None:
        batches = run.batches
        yield from _integers("targets", [b.comparison.targets for b in batches if b.comparison], run.problem.y, line)
        yield from _integers("inputs", [b.forward.inputs for b in batches], run.problem.X, line)
    low = [batch.forward for batch in run.batches if batch.forward.dtype in _LOW and not batch.forward.autocast]
    if low:
        yield _half(run, low)


def _integers(name: str, batches: list[Array], values: Array, line: SourceLine | None) -> Iterator[Finding]:
    if not batches or not all(np.array_equal(batch, np.round(batch)) for batch in batches):
        return
    lost = int((values != np.round(values)).sum())
    yield Finding(
        key="wrong-device-or-dtype",
        confidence="certain",
        evidence=f"All {name} that the model meets are whole numbers. {lost} of {values.size} values of the data are not: a cast "
        "to integers has cut them.",
        numbers={"expected_whole": int(values.size - lost), "found_whole": int(values.size)},
        source=line,
    )


def _half(run: Run, forwards: list[Forward]) -> Finding:
    dtype = forwards[0].dtype
    digits = 3 if dtype == "float16" else 2
    return Finding(
        key="wrong-device-or-dtype",
        confidence="likely",
        evidence=f"{len(forwards)} forward passes that are trained on have inputs of {dtype}, without autocast: parameters and "
        f"updates have {digits} significant digits, so small updates are lost.",
        numbers={"forward_passes": len(forwards), "digits": digits},
        source=run.line_with(".half()", "bfloat16", "float16") or forwards[0].line,
    )
