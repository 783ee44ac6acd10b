"""`Mistake`: the texts of one mistake in a training loop."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A mistake that training loops make, in general words; a `Finding` has the numbers of one loop.

    In all texts lr is the learning rate, lam an eigenvalue of the Hessian H of the mean squared error, lam_1 the largest one, and
    e[k] the distance from the optimum after k steps.

    Attributes
    ----------
    key : the fixed name, such as "no-zero-grad".
    title : what the loop does, in one phrase.
    mark : what the checkup measures when a loop makes the mistake.
    effect : what the mistake does to the result.
    fix : one sentence, and below it the lines to write, indented by four spaces.
    """

    key: str
    title: str
    mark: str
    effect: str
    fix: str
