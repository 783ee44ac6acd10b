"""The algebra of terms, and which columns a term adds to those of the terms before it.

A term is a tuple of the texts of its factors; a set of terms is a dict, which keeps their order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import chain, combinations

Term = tuple[str, ...]
Terms = dict[Term, None]


def join_terms(*terms: Term) -> Term:
    """Join terms; a factor of several appears once.

    >>> join_terms(("a", "b"), ("b", "c"))
    ('a', 'b', 'c')
    """
    return tuple(dict.fromkeys(chain(*terms)))


def distinct_terms(terms: Iterable[Term]) -> Terms:
    """Return the first of all terms with the same factors.

    >>> list(distinct_terms([("a", "b"), ("b", "a"), ("c",)]))
    [('a', 'b'), ('c',)]
    """
    first: dict[frozenset[str], Term] = {}
    for term in terms:
        first.setdefault(frozenset(term), term)
    return dict.fromkeys(first.values())


def interact(a: Terms, b: Terms) -> Terms:
    """Expand a:b."""
    return distinct_terms(join_terms(s, t) for s in a for t in b)


def cross(a: Terms, b: Terms) -> Terms:
    """Expand a*b = a + b + a:b."""
    return distinct_terms([*a, *b, *interact(a, b)])


def nest(a: Terms, b: Terms) -> Terms:
    """Expand a/b = a + (all factors of a):b."""
    return distinct_terms([*a, *(join_terms(*a, term) for term in b)])


def group_by_numeric_factors(terms: Sequence[Term], categorical: Collection[str]) -> list[list[Term]]:
    """Group terms by their numeric factors, those without any first, each sorted by the number of factors, as in patsy."""
    groups: dict[frozenset[str], list[Term]] = {frozenset(): []}
    for term in terms:
        groups.setdefault(frozenset(term) - frozenset(categorical), []).append(term)
    return [sorted(group, key=len) for group in groups.values()]


def contrast_codings(group: Sequence[Term], categorical: Collection[str]) -> dict[Term, list[dict[str, bool]]]:
    """Choose the coding of each categorical factor of each term so that no column repeats what earlier terms span.

    A term spans the products of its factors, each of which is a constant plus contrasts. Products of earlier terms of the group
    are left out, and the others are joined into as few blocks as possible: for each block, factor -> whether all its levels get a
    column (the constant is needed) or all but one.

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
    """Join a block with one that has a single factor more, coded by contrasts: together they code all levels of that factor."""
    for i, short in enumerate(blocks):
        for j, long in enumerate(blocks[i + 1 :], start=i + 1):
            more = [factor for factor in long if factor not in short]
            if len(more) == 1 and not long[more[0]] and all(long.get(f) == full for f, full in short.items()):
                blocks[j] = {**short, more[0]: True}
                del blocks[i]
                return True
    return False
