"""A design for more rows: what it has learned stays, and levels that only these rows have are added."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

from squarely.data import Batch, Source, fold_parts, iter_batches, scan_purpose
from squarely.design.design import Design
from squarely.design.encoding.categories import ObservedLevels, levels_in, merge_observed_levels
from squarely.design.formula.factors import Categorical
from squarely.design.formula.where_mask import mask_of
from squarely.design.learning.pilot import centers_from_pilot
from squarely.design.learning.plan import require_named
from squarely.design.matrix.evaluated_batch import evaluate_batch
from squarely.design.merging.union import union_of

_LevelsByFactor = dict[str, ObservedLevels]


def learn_new_levels(design: Design, source: Source) -> Design:
    """Return a design with the levels of both, and centers and scales of the new rows; it reads the labels once, if there are any.

    Raises DataError if no row is complete, or the order of the levels is not certain.
    """
    require_named(design.formula, source)
    factors = {text: factor for text, factor in design.factors.items() if isinstance(factor, Categorical)}
    if factors:
        found = _find_levels(design, source)
        contrasts = dict(design.learned.contrasts)
        for text, levels in found.items():
            declared = source.category_order(factors[text].name.name) or ()
            present = {contrasts[text].to_level(level) for level in levels}
            others = sorted(present.difference(declared), key=lambda level: (isinstance(level, str), level))
            ordered = (*(level for level in declared if level in present), *others)
            contrasts[text] = replace(contrasts[text], levels=ordered, position=0, marks={})
        known = all({*contrasts[text].levels} <= {*coding.levels} for text, coding in design.learned.contrasts.items())
        if not known:
            other = Design(
                formula=design.formula,
                where=design.where,
                factors=design.factors,
                learned=replace(design.learned, contrasts=contrasts),
            )
            design = union_of([design, other])
    return centers_from_pilot(design, source)


@scan_purpose("levels")
def _find_levels(design: Design, source: Source) -> _LevelsByFactor:
    names = {text: factor.name.name for text, factor in design.factors.items() if isinstance(factor, Categorical)}
    where, inputs, learned = design.where, design.inputs, design.learned

    def levels_of(batch: Batch) -> _LevelsByFactor:
        among = mask_of(where, batch) if where else None
        mask = evaluate_batch(batch, inputs, learned, among).row_mask
        return {text: levels_in(batch.labels[name], mask, batch.start) for text, name in names.items()}

    def merge(a: _LevelsByFactor, b: _LevelsByFactor) -> _LevelsByFactor:
        return {text: merge_observed_levels(a.get(text, {}), b.get(text, {})) for text in names}

    def work(part: Source) -> _LevelsByFactor:
        return reduce(merge, map(levels_of, iter_batches(part, *design.columns_read)), {})

    return fold_parts(source, design.columns_read, work, merge, {})
