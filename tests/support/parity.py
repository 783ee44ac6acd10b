"""The table and the formulas on which every engine is held against the rows in memory."""

import math
from decimal import Decimal

import numpy as np
import pyarrow as pa

N = 1200


def wide_table():
    """A table with every type, gaps of every kind and names of every kind; the rows are in a random order."""
    rng = np.random.default_rng(7)
    x = rng.normal(5, 2, N)
    z = rng.integers(-30, 30, N)
    gaps = pa.array([None if i % 31 == 3 else math.nan if i == 44 else math.inf if i in (50, 51) else v
                     for i, v in enumerate(rng.normal(size=N).tolist())], from_pandas=False)  # fmt: skip
    group = [None if i % 97 == 5 else "äbc d'e"[i % 7] for i in rng.integers(0, 1000, N).tolist()]
    return {
        "x": x,
        "X": rng.normal(size=N),
        "z": z,
        "gaps": gaps,
        "small": rng.normal(size=N).astype(np.float32),
        "money": pa.array([Decimal(int(v)).scaleb(-2) for v in rng.integers(-99999, 99999, N)], type=pa.decimal128(12, 2)),
        "flag": rng.random(N) < 0.4,
        "group": pa.array(group),
        "dose": rng.integers(1, 4, N).astype(np.int8),
        "rate": np.round(rng.integers(1, 4, N) / 3, 3),
        "when": rng.choice(["am", "pm"], N),
        "big": rng.integers(2**60, 2**61, N),
        'x"; drop table t; --': rng.normal(size=N),
        "a.b `c": rng.normal(size=N),
        "y": 3 + x - 0.1 * z + rng.normal(size=N) ** 3,
    }


PARITY = {
    "numeric": "y ~ x + z",
    "no intercept": "y ~ x + z - 1",
    "twins but for case": "y ~ x + X",
    "odd names": 'y ~ `x"; drop table t; --` + Q("a.b `c")',
    "integers, float32, decimals": "y ~ z + small + money + x:z",
    "booleans": "y ~ flag + flag:x + C(flag, Sum):z",
    "missing rows": "y ~ gaps + log(z) + sqrt(x)",
    "large integers": "y ~ x + big",
    "functions": "y ~ log1p(x**2) + expm1(x / 10) + log2(abs(z) + 1) + exp(-x) + log10(x + 20) + I(2**(z / 10)) + I(x**-2)",
    "response and offset": "log(y + 40) ~ x + offset(small) + offset(I(z / 100))",
    "centered": "y ~ scale(x) + center(z * x) + scale(log(z + 40), ddof=1)",
    "categorical": "y ~ group",
    "categories of numbers": "y ~ C(dose) + C(rate, Treatment(reference=0.667))",
    "sum contrasts": "y ~ C(group, Sum) + C(dose, Sum(omit=2))",
    "interactions": "y ~ group * when + C(dose) * x",
    "all levels": "y ~ 0 + group + group:x + C(dose):when",
    "polynomial": "y ~ poly(x, 4) + poly(z, 2)",
    "powers": "y ~ poly(x, 3, raw=True) * when + I(z**2) + z",
    "products": "y ~ x * z * small",
    "bs": "y ~ bs(x, df=6) + bs(z, knots=[-10, 0, 10], degree=2)",
    "ns": "y ~ ns(x, df=4) * when",
    "spline with intercept": "y ~ 0 + bs(x, df=5, include_intercept=True)",
    "dropped": "y ~ x + I(2 * x) + when + I(x + z) + z",
}
CONDITIONS = {
    "numeric": "x > 3 and not (z == 2 or z < -20)",
    "missing rows": "gaps < 1",
    "categorical": "group in ['ä', 'b', ' '] or flag",
    "interactions": "dose in [1, 3] and when != 'am' or X < 0 or group == \"'\"",
    "booleans": "flag == True or rate in [0.333, 1]",
    "bs": "-1 < x < 8 and not flag",
}
