"""Leave terms out of a fit, from its cross-products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from squarely.design import Categorical, Design, Numeric, argument_of, parse_formula, shorten_formula
from squarely.errors import FormulaError, OptionError, SquarelyError, join_words, show_value, suggest_name
from squarely.exact import Solution, solve_merged
from squarely.inference.post_estimation.hypotheses.terms import Term, term_label
from squarely.moments import SignedMoments, merge_moments

_NOT_ROBUST = "Standard errors are classical: robust ones need the rows, so call vcov again."


def leave_out(solution: Solution, names: Sequence[str], *, is_robust: bool) -> Solution:
    """Return the solution without some terms, on the same rows; `Fit.without` documents it."""
    moments = solution.moments
    old = moments.design
    if old.absorbed is not None:
        raise OptionError("A fit with absorbed fixed effects cannot leave out terms. Fit the shorter formula.")
    if not names:
        raise OptionError("without() names no term. Give one, such as fit.without('x').")
    left_out = [_find_term(old, name) for name in names]
    design = _shorter_design(old, left_out)
    signed = SignedMoments(moments=moments, sign=1, error_factor=solution.factor.error_factor)
    merged = merge_moments(design, [signed], moments.account)
    names_left_out = join_words([*map(term_label, left_out)])
    remarks = [*moments.remarks, f"Without {names_left_out}, on the rows of a fit of {old.formula.text!r}."]
    for term in left_out:
        above = [term_label(other) for other in design.formula.terms if set(other) > set(term)]
        if above:
            remarks.append(
                f"{join_words(above)} {'contains' if len(above) == 1 else 'contain'} {term_label(term)}, which is left out."
            )
    remarks += [_NOT_ROBUST] if is_robust else []
    moments = replace(merged.moments, remarks=tuple(remarks), passes=moments.passes)
    return solve_merged(replace(merged, moments=moments), [solution], [1])


def _find_term(design: Design, name: object) -> Term:
    """Return the term that a text means, in any spelling."""
    terms = {frozenset(term): term for term in design.formula.terms}
    known = [term_label(term) for term in terms.values()]
    if name in ("Intercept", "1") and design.intercept:
        raise OptionError("The intercept cannot be left out: it decides how columns are centered. Fit again with '- 1'.")
    if isinstance(name, str):
        by_label = {term_label(term): term for term in terms.values()}
        if name in by_label:
            return by_label[name]
        try:
            parsed = parse_formula(f"y ~ {name} - 1").terms
        except SquarelyError:
            parsed = ()
        if len(parsed) == 1 and frozenset(parsed[0]) in terms:
            return terms[frozenset(parsed[0])]
    raise OptionError(f"{show_value(name)} is not a term of {design.formula.text!r}. {suggest_name(name, known)}")


def _shorter_design(old: Design, left_out: Sequence[Term]) -> Design:
    """Return the design without some terms, with centers of zero and scales of one. Rows still need values of their columns."""
    formula = old.formula
    terms = tuple(term for term in formula.terms if term not in left_out)
    if not terms and not formula.intercept:
        raise FormulaError(f"Nothing is left of {formula.text!r}. Keep one term.")
    used = {text for term in terms for text in term}
    gone = [factor for text, factor in old.factors.items() if text not in used]
    numbers = tuple(Numeric(text=f.text, expression=argument_of(f)) for f in gone if not isinstance(f, Categorical))
    labels = [f.name.name for f in gone if isinstance(f, Categorical)]
    shorter = replace(
        shorten_formula(formula, terms),
        required=(*formula.required, *numbers),
        groups=tuple(dict.fromkeys((*formula.groups, *labels))),
    )
    factors = {text: factor for text, factor in old.factors.items() if text in used}
    contrasts = {text: coding for text, coding in old.learned.contrasts.items() if text in used}
    learned = replace(old.learned, contrasts=contrasts)
    return Design(formula=shorter, where=old.where, factors=factors, learned=learned, scans=old.scans)
