"""Fixed effects against plm and lm with dummies of R, pyfixest and linearmodels."""

import pytest

from tests.oracles.test_inference import FIXED_EFFECTS
from tests.support.inference_oracles import CASES, assert_values, fit_of, number_of

# Each effect as dummies, whose parameters all count in the factor of clusters.
DUMMIES = {"fe.empluk.cl.full": "log(emp) ~ log(wage) + log(capital) + log(output) + C(firm) + C(year)"}
MORE_OPTIONS = {
    "fe.empluk.cl.full": {"cluster": "firm"}, "fe.empluk.cl.nested": {}, "lm.fe.cl": {"cluster": "firm"},
}  # fmt: skip
OTHER_NAMES = {
    "r2_within": "rsquared_within", "wage": "log(wage)", "capital": "log(capital)", "output": "log(output)",
    "se wage": "se log(wage)", "se capital": "se log(capital)", "se output": "se log(output)",
}  # fmt: skip
claimed = [name for name in CASES if name.startswith(FIXED_EFFECTS)]


@pytest.mark.parametrize("name", claimed)
def test_fixed_effects_have_the_numbers_of_the_case(name):
    case = CASES[name] | ({"formula": DUMMIES[name]} if name in DUMMIES else {})
    fit = fit_of(case, **MORE_OPTIONS.get(name, {}))
    keys = [key for key in case["values"] if key != "rsquared_overall"]  # of linearmodels, which measures it without the effects
    assert_values(case, {key: number_of(fit, OTHER_NAMES.get(key, key), case["statistic"]) for key in keys})
