"""Gradient descent on a quadratic in closed form: limits, rates, curves, floors and epochs, from arrays alone.

As in torch's MSELoss, L(w) = (1/n) ||X w - y||^2 = L* + 1/2 (w - w*)' H (w - w*), with H = (2/n) X'X and eigenvalues lam.

`spectrum` has the eigenbasis of H, in which the coordinates c_j of the error w - w* are independent. `full_batch` is the linear
recurrence of a coordinate, with momentum, schedules and weight decay. `noise` is the gradient noise of single rows;
`with_replacement` and `reshuffled` are its effect at a constant learning rate, and `mini_batch` chooses between them. `averaging`
is the mean of the iterates. `squarely.moments` computes the arrays from rows.
"""

from squarely.theory.averaging import averaged_excess, epochs_by_averaging
from squarely.theory.full_batch import (
    Descent,
    epochs_by_rule,
    epochs_until,
    excess_curve,
    excess_curves,
    fewest_epochs,
    heavy_ball,
    lr_best,
    lr_limit,
    modes_after,
    modes_along,
    rate,
    remaining_fraction,
    scheduled_curve,
)
from squarely.theory.mini_batch import (
    expected_curve,
    expected_epochs,
    expected_excess,
    first_order_floor,
    lr_for_floor,
    noise_covariance,
    noise_floor,
)
from squarely.theory.noise import Batches, Noise, coordinates, gaussian_square, pairs_of, weights_of
from squarely.theory.spectrum import (
    Spectrum,
    decompose_hessian,
    distance_bound,
    excess,
    fixed_point,
    standard_errors_away,
    standard_errors_bound,
)
from squarely.theory.with_replacement import batch_lr_limit
