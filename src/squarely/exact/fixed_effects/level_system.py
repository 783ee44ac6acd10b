"""The normal equations of the indicators of all levels, solved in memory.

Their matrix has the weights of the levels on its diagonal and those of pairs of levels beside it. The effect with the most levels
is eliminated exactly, which leaves a system S of the others. A small one is factored; a large one is solved by conjugate gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from squarely.errors import NumericalError, OptionError
from squarely.exact.fixed_effects.level_sums import Pairs
from squarely.numerics import ROUNDOFF, Array

_FEW = 300  # levels of the effects that are left: a factorization takes less time than an iteration
_MOST_FACTORED = 2_000  # a factorization takes about a second
_TOLERANCE = 1e-13  # of conjugate gradients, relative
_ROUNDINGS = 64
_MOST_STEPS = 5_000
_FEW_STEPS = 8
_CELLS = 2**21  # of a table for leverages, 16 MB


@dataclass(slots=True, eq=False)
class LevelSystem:
    """The normal equations for effects with the weights (L,) of their levels and of `pairs` of levels.

    `rank` is that of the indicators. With three or more effects of many levels it may be too large, and `is_rank_exact` is False.
    """

    weights: tuple[Array, ...]
    pairs: Pairs
    rank: int = field(init=False)
    is_rank_exact: bool = field(init=False, default=True)
    _order: list[int] = field(init=False)
    _across: Any = field(init=False, default=None)
    _others: Any = field(init=False, default=None)
    _factor: tuple[Array, np.ndarray] | None = field(init=False, default=None)
    _inverse: Array | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        sizes = [len(each) for each in self.weights]
        first = int(np.argmax(sizes))
        self._order = [first, *(e for e in range(len(sizes)) if e != first)]
        if len(sizes) == 1:
            self.rank = sizes[0]
            return
        from scipy.sparse import block_array, hstack

        rest = self._order[1:]
        self._across = self._pair(first, rest[0]) if len(rest) == 1 else hstack([self._pair(first, e) for e in rest], format="csr")
        if len(rest) > 1:
            self._others = block_array([[None if e == f else self._pair(e, f) for f in rest] for e in rest], format="csr")
        left = sum(sizes) - sizes[first]
        if left <= min(_FEW, _MOST_FACTORED) or (len(sizes) > 2 and left <= _MOST_FACTORED):
            self._factor = self._factorize()
        if len(sizes) == 2:
            self.rank = sum(sizes) - _label_components(self._across)[0]
        else:
            self.rank = sizes[first] + len(self._factor[1]) if self._factor else sum(sizes) - len(rest)
            self.is_rank_exact = self._factor is not None

    def _pair(self, e: int, f: int) -> Any:
        return self.pairs[e, f] if (e, f) in self.pairs else self.pairs[f, e].T.tocsr()

    @property
    def _first(self) -> Array:
        return self.weights[self._order[0]]

    @property
    def _rest(self) -> Array:
        """The weights of the levels of all effects but the first one."""
        return np.concatenate([np.empty(0), *(self.weights[e] for e in self._order[1:])])

    def _factorize(self) -> tuple[Array, np.ndarray]:
        """Return U with U'U the part of S at some places (r,), and these: the others depend on them."""
        from scipy.linalg.lapack import dpstrf

        root = np.sqrt(self._rest)
        S = np.diag(self._rest) - (self._across.T @ (self._across.multiply(1 / self._first[:, None]))).toarray()
        if self._others is not None:
            S += self._others.toarray()
        C = S / root / root[:, None]
        U, order, rank, _ = dpstrf(C, tol=64 * len(C) * ROUNDOFF)
        places = order[:rank] - 1
        return np.triu(U[:rank, :rank]) * root[places], places

    def rank_of(self, effects: Sequence[int]) -> int:
        """Return the rank of the indicators of some of the effects, which are in order."""
        if len(effects) == len(self.weights):
            return self.rank
        pairs = {(i, j): self.pairs[e, f] for i, e in enumerate(effects) for j, f in enumerate(effects) if (e, f) in self.pairs}
        return LevelSystem(tuple(self.weights[e] for e in effects), pairs).rank

    def components(self) -> tuple[np.ndarray, ...]:
        """Return for the levels (L,) of each effect in which group they are; groups of levels share no row.

        The groups are those of two effects; of more, all levels are in one.
        """
        if len(self.weights) != 2:
            return tuple(np.zeros(len(weights), dtype=int) for weights in self.weights)
        labels = _label_components(self.pairs[0, 1])[1]
        first = len(self.weights[0])
        return labels[:first], labels[first:]

    def solve(self, sums: Sequence[Array]) -> tuple[tuple[Array, ...], Array]:
        """Return a solution (L, k) for each effect, with the length (k,) over the rows of what it may leave of the indicators."""
        a, left = self._solve_once(sums)
        if left is not None:
            return tuple(a), left
        rest = self._residuals(sums, a)
        d, _ = self._solve_once(rest)
        squares = sum(np.einsum("ij,ij->j", r, x) for r, x in zip(rest, d, strict=True))
        return tuple(x + y for x, y in zip(a, d, strict=True)), np.sqrt(np.maximum(squares, 0.0))

    def _residuals(self, sums: Sequence[Array], a: Sequence[Array]) -> list[Array]:
        rest = [s - w[:, None] * x for s, w, x in zip(sums, self.weights, a, strict=True)]
        for (e, f), table in self.pairs.items():
            rest[e] -= table @ a[f]
            rest[f] -= table.T @ a[e]
        return rest

    def _solve_once(self, sums: Sequence[Array]) -> tuple[list[Array], Array | None]:
        """Return a solution for each effect; an iteration also returns the length (k,) that it may leave."""
        first, *others = self._order
        b = sums[first] / self._first[:, None]
        if not others:
            return [b], None
        rhs = np.concatenate([sums[e] for e in others]) - self._across.T @ b
        x, left = (self._solve_factored(rhs), None) if self._factor else self._conjugate_gradients(rhs, self._rounding_of(sums, b))
        solution = list(sums)
        solution[first] = b - (self._across @ x) / self._first[:, None]
        ends = np.cumsum([len(self.weights[e]) for e in others])[:-1]
        for e, part in zip(others, np.split(x, ends), strict=True):
            solution[e] = part
        return solution, left

    def _solve_factored(self, rhs: Array) -> Array:
        from scipy.linalg import solve_triangular

        assert self._factor is not None  # noqa: S101
        U, places = self._factor
        x = np.zeros_like(rhs)
        x[places] = solve_triangular(U, solve_triangular(U, rhs[places], trans="T", check_finite=False), check_finite=False)
        return x

    def _multiply(self, x: Array) -> Array:
        product: Array = self._rest[:, None] * x - self._across.T @ ((self._across @ x) / self._first[:, None])
        return product if self._others is None else product + self._others @ x

    def _rounding_of(self, sums: Sequence[Array], b: Array) -> Array:
        """Bound the rounding of the right side of the system S."""
        sizes: Array = np.concatenate([np.abs(sums[e]) for e in self._order[1:]]) + self._across.T @ np.abs(b)
        return _ROUNDINGS * ROUNDOFF * sizes

    def _conjugate_gradients(self, rhs: Array, rounding: Array) -> tuple[Array, Array]:
        """Solve S x = rhs for all columns at once, with the diagonal of S as preconditioner; return also the error, as a length.

        S is singular and the system consistent up to its rounding, so the iteration stays within the range of S.
        """
        squares = self._across.multiply(self._across)
        diagonal = self._rest - squares.T @ (1 / self._first)
        scale = 1 / np.where(diagonal > ROUNDOFF * self._rest, diagonal, self._rest)[:, None]
        x, r = np.zeros_like(rhs), rhs.copy()
        p = z = scale * r
        rz = np.einsum("ij,ij->j", r, z)
        goal = np.maximum(_TOLERANCE**2 * rz, np.einsum("ij,ij->j", rounding, scale * rounding))
        for _ in range(_MOST_STEPS):
            if (rz <= goal).all():
                return x, 10.0 * np.sqrt(rz)
            Sp = self._multiply(p)
            curvature = np.einsum("ij,ij->j", p, Sp)
            step = np.divide(rz, curvature, out=np.zeros_like(rz), where=(curvature > 0) & (rz > goal))
            x += step * p
            r -= step * Sp
            z = scale * r
            before, rz = rz, np.einsum("ij,ij->j", r, z)
            p = z + np.divide(rz, before, out=np.zeros_like(rz), where=before > 0) * p
        if len(rhs) <= _MOST_FACTORED:
            self._factor = self._factorize()
            return self._solve_factored(rhs), np.zeros(rhs.shape[1])
        raise NumericalError(
            f"The system of {len(rhs):,} levels did not converge in {_MOST_STEPS:,} steps: they form long chains of few rows. "
            "Leave out levels with few rows, or group them."
        )

    def leverage(self, codes: Sequence[np.ndarray]) -> Array:
        """Return the leverage (m,) that the effects give to rows of weight one, from the codes of their levels."""
        i = codes[self._order[0]]
        h: Array = 1 / self._first[i]
        if self._across is None:
            return h
        inverse = self._inverse_of_rest()
        starts = np.cumsum([0, *(len(self.weights[e]) for e in self._order[1:-1])])
        places = np.array([codes[e] + start for e, start in zip(self._order[1:], starts, strict=True)])  # (E - 1, m)
        size = max(1, _CELLS // len(inverse))
        for start in range(0, len(h), size):
            at = slice(start, start + size)
            rows, back = np.unique(i[at], return_inverse=True)
            P = self._across[rows].multiply(1 / self._first[rows, None]).tocsr()
            W = P @ inverse
            own = np.asarray(P.multiply(W).sum(axis=1)).ravel()
            j = places[:, at]
            h[at] += own[back] - 2 * sum(W[back, k] for k in j) + sum(inverse[k, m] for k in j for m in j)
        return h

    def _inverse_of_rest(self) -> Array:
        if self._factor is None and len(self._rest) <= _MOST_FACTORED:
            self._factor = self._factorize()
        if self._factor is None:
            raise OptionError(
                "The leverages of these fixed effects take a table with the square of "
                f"{len(self._rest):,} levels, and at most {_MOST_FACTORED:,} are inverted. Use vcov='HC1' or cluster=."
            )
        if self._inverse is None:
            from scipy.linalg import solve_triangular

            U, places = self._factor
            root = solve_triangular(U, np.eye(len(U)))
            inverse = np.zeros((len(self._rest),) * 2)
            inverse[np.ix_(places, places)] = root @ root.T
            self._inverse = inverse
        return self._inverse


def _label_components(table: Any) -> tuple[int, np.ndarray]:
    """Return into how many groups the levels of two effects fall that share no row, and the group of each level."""
    reached = np.zeros(table.shape[1])
    reached[0] = 1.0
    for _ in range(_FEW_STEPS):  # usually all levels are few steps from the first one, and a search of all groups takes longer
        before = reached.sum()
        rows = (table @ reached > 0).astype(np.float64)
        reached = (table.T @ rows > 0).astype(np.float64)
        if reached.sum() == before:
            break
    if reached.all() and rows.all():
        return 1, np.zeros(sum(table.shape), dtype=int)
    from scipy.sparse import block_array
    from scipy.sparse.csgraph import connected_components

    found: tuple[int, np.ndarray] = connected_components(block_array([[None, table], [table.T, None]]), directed=False)
    return found
