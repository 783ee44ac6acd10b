"""Write expected.json: statistics of all sign vectors by wildboottest 0.3.2, with numpy 2.4 and statsmodels 0.15.

Run it in the folder of this file, where wildboottest is installed: python make_expected.py
"""

import json

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
from wildboottest.wildboottest import WildboottestCL

CASES = [
    ("npk", "Q('yield') ~ N + P + K", "block", ["N", "P", "K"]),
    ("produc", "np.log(gsp) ~ np.log(pcap) + np.log(pc) + np.log(emp) + unemp", "region", ["np.log(pcap)", "unemp"]),
]

expected = []
for name, formula, cluster, params in CASES:
    data = pd.read_csv(f"../inference/{name}.csv")
    model = smf.ols(formula, data)
    names = model.exog_names
    for param in params:
        for impose_null in (True, False):
            R = np.array([float(each == param) for each in names])
            test = WildboottestCL(X=model.exog, Y=model.endog, cluster=data[cluster], R=R, B=99_999, seed=1, parallel=False)
            test.get_scores(bootstrap_type="11", impose_null=impose_null, adj=True, cluster_adj=True)
            test.get_weights(weights_type="rademacher")
            test.get_numer()
            test.get_denom()
            test.get_tboot()
            test.get_vcov()
            test.get_tstat()
            test.get_pvalue(pval_type="two-tailed")
            draws = sorted(abs(test.t_boot).ravel().tolist())
            expected.append(
                {
                    "data": name,
                    "formula": formula.replace("np.", ""),
                    "cluster": cluster,
                    "param": param.replace("np.", ""),
                    "impose_null": impose_null,
                    "statistic": float(test.t_stat),
                    "pvalue": float(test.pvalue),
                    "absolute_draws": draws[1::2],  # each is there twice, for a sign vector and its opposite
                }
            )

with open("expected.json", "w") as file:
    file.write(json.dumps(expected, indent=1).replace(",\n   ", ", ").replace("[\n   ", "[") + "\n")
