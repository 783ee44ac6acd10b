"""The algebra of terms, and which columns a term needs once the terms before it are there.

A term is a tuple of the texts of its factors; a set of terms is a dict that keeps the order in which they were written.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import combinations

Term = tuple[str, ...]
Terms = dict[Term, None]


def join_terms(a: Term, b: Term) -> Term:
    """Join two terms; a factor that both have counts once.

    >>> join_terms(("a", "b"), ("b", "c"))
    ('a', 'b', 'c')
    """
    return (*a, *(factor for factor in b if factor not in a))


def distinct_terms(terms: Sequence[Term]) -> Terms:
    """Keep the first of all terms that have the same factors.

    >>> list(distinct_terms([("a", "b"), ("b", "a"), ("c",)]))
    [('a', 'b'), ('c',)]
    """
    seen: dict[frozenset[str], Term] = {}
    for term in terms:
        seen.setdefault(frozenset(term), term)
    return dict.fromkeys(seen.values())


def interact(a: Terms, b: Terms) -> Terms:
    """Expand a:b."""
    return distinct_terms([join_terms(s, t) for s in a for t in b])


def cross(a: Terms, b: Terms) -> Terms:
    """Expand a*b = a + b + a:b."""
    return distinct_terms([*a, *b, *interact(a, b)])


def nest(a: Terms, b: Terms) -> Terms:
    """Expand a/b = a + (all factors of a):b."""
    whole: Term = ()
    for term in a:
        whole = join_terms(whole, term)
    return distinct_terms([*a, *(join_terms(whole, term) for term in b)])


def powers_of_terms(total: Terms, base: Terms) -> Terms:
    """Multiply a power of a sum by the sum once more: every term of both, and their interactions."""
    return distinct_terms([*total, *interact(total, base)])


def group_by_numeric_factors(terms: Sequence[Term], categorical: Collection[str]) -> list[list[Term]]:
    """Put terms into groups of the same numeric factors, those without any first, each by the number of factors, as patsy does."""
    groups: dict[frozenset[str], list[Term]] = {frozenset(): []}
    for term in terms:
        groups.setdefault(frozenset(term) - frozenset(categorical), []).append(term)
    return [sorted(group, key=len) for group in groups.values()]


def contrast_codings(group: Sequence[Term], categorical: Collection[str]) -> dict[Term, list[dict[str, bool]]]:
    """Say how each categorical factor of each term is coded so that no column repeats what earlier terms span.

    A term spans the products of its factors, each of which is a constant plus contrasts. Of these products, those that earlier
    terms of the group have are left out, and the rest is joined again into as few blocks as can be: for each block, factor ->
    whether all its levels get a column (the constant is wanted) or all but one.

    >>> contrast_codings([(), ("g",), ("g", "h")], {"g", "h"})[("g", "h")]
    [{'g': True, 'h': False}]
    """
    used: set[frozenset[str]] = set()
    result: dict[Term, list[dict[str, bool]]] = {}
    for term in group:
        factors = [factor for factor in term if factor in categorical]
        parts = [frozenset(c) for size in range(len(factors) + 1) for c in combinations(factors, size)]
        blocks = [dict.fromkeys(sorted(part, key=factors.index), False) for part in parts if part not in used]
        used.update(parts)
        while _join_two(blocks):
            pass
        result[term] = [{f: block[f] for f in factors if f in block} for block in blocks]
    return result


def _join_two(blocks: list[dict[str, bool]]) -> bool:
    """Join a block with one that has a single factor more, coded by contrasts: together they code all its levels."""
    for i, short in enumerate(blocks):
        for j in range(i + 1, len(blocks)):
            long = blocks[j]
            more = [factor for factor in long if factor not in short]
            if len(more) == 1 and not long[more[0]] and all(long.get(f) == full for f, full in short.items()):
                blocks[j] = {**short, more[0]: True}
                del blocks[i]
                return True
    return False
