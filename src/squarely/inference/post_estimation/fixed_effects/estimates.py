"""Estimate the effect of each level: what the level adds to the prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from squarely.data import to_frame
from squarely.errors import OptionError
from squarely.exact import Solution
from squarely.numerics import Array


def estimate_effects(solution: Solution) -> Any:
    """Return the frame of the effects; `Fit.fixed_effects` documents it."""
    absorbed = solution.moments.design.absorbed
    if absorbed is None:
        raise OptionError(
            f"The formula {solution.moments.design.formula.text!r} has no fixed effects. Write them after '|', as in y ~ x | firm."
        )
    names, levels, counts = [], [], []
    for name, index, count in zip(absorbed.names, absorbed.levels, absorbed.counts, strict=True):
        names += [name] * len(index)
        levels += index.to_list()
        counts += np.rint(count).astype(int).tolist()
    estimates = _normalize(solution.effects, absorbed.system.components())
    frame = {"effect": names, "level": levels, "estimate": np.concatenate(estimates), "n": counts}
    return to_frame(frame, range(len(names)))


def _normalize(effects: Sequence[Array], components: Sequence[np.ndarray]) -> list[Array]:
    """Move the effect of the first level of each later effect, in each component, to the levels of the first effect there."""
    first, *others = (effect.copy() for effect in effects)
    for effect, component in zip(others, components[1:], strict=True):
        parts, where = np.unique(component, return_index=True)
        moved = np.zeros(int(max(parts.max(), components[0].max())) + 1)
        moved[parts] = effect[where]
        effect -= moved[component]
        first += moved[components[0]]
    return [first, *others]
