"""How far a training run is from least squares, and why.

`verdict` compares the two, `gaps` measures and bounds the distance, `certificate` is the result. For a run that finished too far
away, `causes` names the cause and `advice` says what helps; both work on a `discrepancy`.
"""

from squarely.certification.certificate import Certificate
from squarely.certification.verdict import certify, require_tolerance
