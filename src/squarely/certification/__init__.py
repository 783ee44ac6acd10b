"""How far a training run is from least squares, and why.

`verdict` compares the two, `gaps` measures and bounds the distance, `certificate` is the result. For a run that finished too far
away, `causes` names the cause and `advice` says what helps; both work on a `discrepancy`. `answers` does the same for coefficients
that were made elsewhere.
"""

from squarely.certification.answers.comparison import certify_answer
from squarely.certification.certificate import Certificate
from squarely.certification.verdict import certify, require_tolerance
