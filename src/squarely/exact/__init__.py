"""Least squares from the moments, refined on the rows, with the digits that can be trusted: `solve` is the whole method.

`rank` decides which columns are independent, and `factorization` makes their R. `residuals` scans the rows; `whitening` scans them
once more if R has too few digits for standard errors. `condition_number` and `units` say what R means in the units of the data, and
`solution` is the result. `implicit_constant` and `estimability` say what the columns span. `engine` solves where the rows stay in
an engine, and `merge` solves from solutions alone.
"""

from squarely.exact.condition_number import condition_of, translate_singular_errors
from squarely.exact.estimability import check_of
from squarely.exact.factorization import SIX_DIGITS, TEN_DIGITS, Factorization, require_same_rows, sum_block, sum_columns
from squarely.exact.fixed_effects.absorb import absorb_effects, require_rows_for_effects
from squarely.exact.fixed_effects.level_sums import read_level_sums
from squarely.exact.implicit_constant import Span, span_by_sums
from squarely.exact.merge.factorization import NOT_IN_MERGE
from squarely.exact.merge.solve import solve_merged
from squarely.exact.rank import Dependency, cholesky_in_order
from squarely.exact.residuals import ResidualSums, iter_residuals, read_residuals
from squarely.exact.solution import MergeRecord, Shard, Solution, is_same_shard, require_consistent
from squarely.exact.solve import require_precision, solve_least_squares, solve_responses
from squarely.exact.units import data_unit_matrix, totals_of
from squarely.exact.whitening import InverseRoot
