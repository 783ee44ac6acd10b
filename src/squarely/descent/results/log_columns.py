"""The columns of `run.history`: the log of a run, and beside it what theory predicts."""

from __future__ import annotations

import math
from typing import Any

from squarely.descent.loop.result import LoopResult
from squarely.descent.run_theory.predicted_curve import PredictedCurve


def history_columns(result: LoopResult, prediction: PredictedCurve | None, least: float | None) -> dict[str, list[Any]]:
    """Return one value an epoch for each column, NaN where there is none; `least` is the loss at the optimum, if known."""
    log, logged = result.history, len(result.losses)
    columns = {name: [*log.column(name).tolist(), *[math.nan] * (logged - len(log.columns[name]))] for name in log.columns}
    predicted = [math.nan] * logged if prediction is None else prediction.losses[:logged].tolist()
    losses = columns.pop("loss")
    excess = [math.nan if least is None else loss - least for loss in losses]
    return {"epoch": list(range(logged)), "loss": losses, "predicted": predicted, "excess": excess, **columns}
