"""Clustered standard errors against statsmodels, against dense formulas with every row, and as laws; and what is refused."""

import pickle
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import squarely as sq
from squarely.data.scan.threads import single_threaded
from squarely.errors import DataError, OptionError
from squarely.inference.covariance.clustered import cluster_sums
from tests.support.checks import CARS, assert_close, need
from tests.support.dask import dask_frame, scheduler
from tests.support.inference_oracles import CASES, assert_values, fit_of, table

KINDS = ("CR0", "CR1", "CR2", "CR3")
FORMULA = "y ~ x + z"


def rows(n=240, clusters=20, seed=0):
    """Return rows whose errors have a part in common within g; h crosses g."""
    rng = np.random.default_rng(seed)
    g, h = rng.integers(0, clusters, n), rng.integers(0, 7, n)
    x, z = rng.normal(size=n) + 0.3 * g, rng.normal(size=n)
    y = 1 + 2 * x - z + rng.normal(size=clusters)[g] + rng.normal(size=7)[h] + rng.normal(size=n)
    return {"x": x, "z": z, "y": y, "g": g, "h": h}


def matrix(data):
    return np.column_stack([np.ones(len(data["x"])), data["x"], data["z"]])


def dense(X, y, g, power):
    """Return the coefficients, the weights (n, G, p) of the errors in the adjusted scores, and those scores (G, p)."""
    bread = np.linalg.inv(X.T @ X)
    H = X @ bread @ X.T
    e, labels = y - H @ y, np.unique(g)
    weights = np.zeros((len(y), len(labels), X.shape[1]))
    for i, label in enumerate(labels):
        at = g == label
        values, Q = np.linalg.eigh(np.eye(at.sum()) - H[np.ix_(at, at)])
        kept = values > 1e-10
        adjusted = (Q[:, kept] * values[kept] ** power) @ Q[:, kept].T @ X[at] @ bread
        weights[:, i] = (np.eye(len(y)) - H)[:, at] @ adjusted
    return bread @ X.T @ y, weights, np.einsum("ngp,n->gp", weights, e)


# ---- against other programs and formulas


@pytest.mark.parametrize(("cov_type", "kind"), [("cluster", "CR1"), ("cluster-crv3", "CR3")])
def test_statsmodels_agrees(cov_type, kind):
    data = rows()
    theirs = sm.OLS(data["y"], matrix(data)).fit(cov_type=cov_type, cov_kwds={"groups": data["g"]}, use_t=True)
    ours = sq.ols(FORMULA, data, vcov=kind, cluster="g")
    for name in ("bse", "tvalues", "pvalues"):
        assert_close(getattr(ours, name), getattr(theirs, name), rtol=1e-8)
    assert_close(ours.conf_int(), theirs.conf_int(), rtol=1e-8)
    assert_close([ours.fvalue, ours.f_pvalue], [float(theirs.fvalue), float(theirs.f_pvalue)], rtol=1e-8)
    assert ours.df_resid_inference == len(np.unique(data["g"])) - 1


def test_two_columns_agree_with_statsmodels():
    data = rows()
    groups = np.column_stack([data["g"], data["h"]])
    theirs = sm.OLS(data["y"], matrix(data)).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
    assert_close(sq.ols(FORMULA, data, cluster=["g", "h"]).bse, theirs.bse, rtol=1e-8)
    without = sm.OLS(data["y"], matrix(data)).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}, use_t=True
    )
    for options in ({"correction": "none"}, {"vcov": "CR0"}):
        assert_close(sq.ols(FORMULA, data, cluster=["g", "h"], **options).bse, without.bse, rtol=1e-8)


@pytest.mark.parametrize("clusters", [12, 60])
def test_cr2_and_its_degrees_of_freedom_agree_with_the_definition(clusters):
    data = rows(clusters=clusters)
    _, weights, scores = dense(matrix(data), data["y"], data["g"], -0.5)
    fit = sq.ols(FORMULA, data, vcov="CR2", cluster="g")
    assert_close(fit.bse, np.sqrt((scores**2).sum(axis=0)), rtol=1e-9)
    spectra = [np.linalg.eigvalsh(weights[:, :, j].T @ weights[:, :, j]) for j in range(3)]
    assert_close(fit.df_t, [values.sum() ** 2 / (values**2).sum() for values in spectra], rtol=1e-9)
    assert fit.df_resid_inference == len(np.unique(data["g"])) - 1


def test_cr3_is_the_jackknife():
    data = rows()
    X, g = matrix(data), data["g"]
    whole = np.linalg.lstsq(X, data["y"], rcond=None)[0]
    changes = np.array([np.linalg.lstsq(X[g != k], data["y"][g != k], rcond=None)[0] - whole for k in np.unique(g)])
    G = len(changes)
    assert_close(sq.ols(FORMULA, data, vcov="CR3", cluster="g").bse, np.sqrt((G - 1) / G * (changes**2).sum(axis=0)), rtol=1e-9)


def test_cr2_of_a_cluster_that_determines_a_coefficient_leaves_its_direction_out():
    data = rows() | {"g": np.sort(rows()["g"])}
    data["d"] = (data["g"] == 3).astype(float)
    X = np.column_stack([matrix(data), data["d"]])
    _, _, scores = dense(X, data["y"], data["g"], -0.5)
    fit = sq.ols("y ~ x + z + d", data, vcov="CR2", cluster="g")
    assert_close(fit.bse[:3], np.sqrt((scores**2).sum(axis=0))[:3], rtol=1e-9)
    assert any(
        "Cluster 3 of g alone determines a coefficient: nothing" in note and "leaves its direction out" in note
        for note in fit.notes
    )


def test_cr2_with_weights_names_a_cluster_whose_direction_it_leaves_out():
    data = rows() | {"g": np.sort(rows()["g"]), "one": np.ones(240), "w": np.random.default_rng(3).uniform(0.2, 3, 240)}
    data["d"] = (data["g"] == 3).astype(float)
    plain = sq.ols("y ~ x + z + d", data, vcov="CR2", cluster="g")
    equal = sq.ols("y ~ x + z + d", data, vcov="CR2", cluster="g", weights="one")
    assert_close(equal.bse[:3], plain.bse[:3], rtol=1e-9)
    for fit in (equal, sq.ols("y ~ x + z + d", data, vcov="CR2", cluster="g", weights="w")):
        assert any("Cluster 3 of g alone determines a coefficient" in n and "leaves its direction out" in n for n in fit.notes)
    assert not any("determines" in note for note in sq.ols("y ~ x", data, vcov="CR2", cluster="g", weights="w").notes)


def test_cr3_of_a_coefficient_that_one_cluster_determines_is_nan():
    data = rows() | {"g": np.sort(rows()["g"])}
    data["d"] = (data["g"] == 3).astype(float)
    fit = sq.ols("y ~ x + z + d", data, vcov="CR3", cluster="g")
    assert fit.bse.isna().tolist() == [False, False, False, True]
    assert any("Cluster 3 of g alone determines a coefficient: nothing" in note and "are NaN" in note for note in fit.notes)


# ---- the cases of tests/oracles that ask for more than standard errors


def test_counts_of_clusters():
    case, values = CASES["cl.ca.n"], CASES["cl.ca.n"]["values"]
    fit = fit_of(case, cluster="county")
    assert (fit.nobs, fit.cov_kwds["groups"]) == (values["n"], {"county": values["G"]})
    case, values = CASES["cl2.inn.n"], CASES["cl2.inn.n"]["values"]
    fit = fit_of(case, cluster=["company", "year"])
    assert fit.cov_kwds["groups"] == {"company": values["G_company"], "year": values["G_year"]}
    factor = values["G_both"] / (values["G_both"] - 1) * (values["n"] - 1) / (values["n"] - 4)
    assert_close(fit.cov_kwds["correction"]["company, year"], factor, rtol=1e-14)


def test_joint_tests_under_clusters():
    case = CASES["cl.ca.F"]
    fit = fit_of(case, cluster="county")
    assert_values(case, {"F": fit.fvalue, "df_num": fit.df_model})
    case = CASES["cl.ca.joint"]
    test = fit.f_test("english = lunch = 0")
    assert_values(case, {"F": test.fvalue, "df_num": test.df_num, "df_denom": test.df_denom, "p": test.pvalue})


def test_cr2_with_weights():
    case = CASES["cl.ca.w.CR2"]
    fit = fit_of(case, weights="students", vcov="CR2", cluster="county")
    assert_values(case, fit.bse)
    assert fit.df_t.tolist() == [44.0] * 5
    assert any("With weights, CR2 has no degrees of freedom for each coefficient" in note for note in fit.notes)


@pytest.mark.parametrize("kind", KINDS)
def test_frequencies_are_repeated_rows(kind):
    data = pd.DataFrame(rows()).assign(k=1 + np.arange(240) % 3)
    repeated = data.loc[data.index.repeat(data["k"])]
    a = sq.ols(FORMULA, data, frequencies="k", vcov=kind, cluster="g")
    b = sq.ols(FORMULA, repeated, vcov=kind, cluster="g")
    assert_close(a.bse, b.bse, rtol=1e-12)
    assert_close(a.df_t, b.df_t, rtol=1e-10)
    assert a.notes[0] == b.notes[0]


# ---- laws


@pytest.mark.parametrize(("kind", "hc", "ratio"), [("CR0", "HC0", 1.0), ("CR2", "HC2", 1.0), ("CR3", "HC3", 239 / 240)])
def test_a_cluster_for_every_row_is_no_cluster(kind, hc, ratio):
    data = rows() | {"row": np.arange(240)}
    fit = sq.ols(FORMULA, data, vcov=kind, cluster="row")
    assert_close(fit.bse, np.sqrt(ratio) * sq.ols(FORMULA, data, vcov=hc).bse, rtol=1e-10)


@pytest.mark.parametrize("options", [*({"vcov": kind, "cluster": "g"} for kind in KINDS), {"cluster": ["g", "h"]}])
def test_names_and_order_of_clusters_do_not_matter(options):
    data = rows()
    fit = sq.ols(FORMULA, data, **options)
    order = np.random.default_rng(1).permutation(240)
    moved = {name: values[order] for name, values in data.items()}
    names = np.random.default_rng(2).permutation(20)
    for labels in (names[moved["g"]], moved["g"] - 2.0**40, [f"firm {k}" for k in moved["g"]], pd.Categorical(moved["g"])):
        again = sq.ols(FORMULA, moved | {"g": labels}, **options)
        assert_close(again.bse, fit.bse, rtol=1e-10)
        assert_close(again.pvalues, fit.pvalues, rtol=1e-8)


@pytest.mark.parametrize("options", [*({"vcov": kind, "cluster": "g"} for kind in KINDS), {"cluster": ["g", "h"]}])
def test_units_of_columns_do_not_matter(options):
    data = rows()
    other = data | {"x": data["x"] * 1e-7 + 5, "z": data["z"] * 1e5, "y": data["y"] * 300}
    assert_close(sq.ols(FORMULA, other, **options).tvalues[1:], sq.ols(FORMULA, data, **options).tvalues[1:], rtol=1e-7)


def test_units_of_columns_do_not_matter_where_the_covariance_is_repaired():
    data, options = table("salaries"), {"cluster": ["yrs.service", "discipline"]}
    fits = [
        sq.ols("salary ~ phd + yrs.service + sex", data.assign(phd=scale * data["yrs.since.phd"]), **options) for scale in (1, 1e4)
    ]
    assert_close(fits[1].tvalues, fits[0].tvalues, rtol=1e-9)
    assert [fit.cov_kwds["fixed"] for fit in fits] == [True, True]
    raw = CASES["cl2.sal.raw"]  # what it was before
    assert_values(raw, dict(zip([*raw["values"]][:4], fits[0].bse ** 2, strict=True)))
    assert any("smallest eigenvalue was -0.0018 times the sum of their sizes" in note for note in fits[0].notes)
    assert not any("The same numbers" in note for note in fits[0].notes)


def in_files(data, folder, count):
    """Write the rows into several files, each of which is a batch."""
    for i, part in enumerate(np.array_split(np.arange(len(data["x"])), count)):
        pd.DataFrame(data).iloc[part].to_parquet(folder / f"{i:02}.parquet")
    return str(folder / "*.parquet")


@pytest.mark.parametrize("options", [{"vcov": "CR2", "cluster": "g"}, {"cluster": ["g", "h"]}])
def test_pieces_of_the_rows_do_not_matter(options, tmp_path):
    data = rows()
    whole = sq.ols(FORMULA, data, **options)
    cut = sq.ols(FORMULA, in_files(data, tmp_path, 9), **options)
    assert_close(cut.bse, whole.bse, rtol=1e-11)
    assert_close(cut.df_t, whole.df_t, rtol=1e-9)


def pieces_of(values, labels, cuts):
    """Return the sums of pieces of rows; each piece codes its labels in its own way."""
    pa, types = need("pyarrow"), need("squarely.data")
    columns = {}
    found = []
    for start, stop in zip([0, *cuts], [*cuts, len(values)], strict=True):
        for name, column in labels.items():
            part = pa.array(column[start:stop]).dictionary_encode()
            codes = part.indices.to_numpy().astype(np.int64)
            columns[name] = types.CategoricalColumn(values=(), dictionary=part.dictionary, codes=codes, gaps=None)
        found.append(cluster_sums.ClusterSums.of_rows(columns, values[start:stop], None))
    return found


@pytest.mark.parametrize("names", [("text",), ("number",), ("text", "number")])
@pytest.mark.parametrize("pending", [1, 50, 2**16])
def test_any_cut_and_bracketing_of_the_rows_gives_the_same_sums(names, pending, monkeypatch):
    monkeypatch.setattr(cluster_sums, "_PENDING_ROWS", pending)
    rng = np.random.default_rng(len(names) + pending)
    n, values = 400, rng.normal(size=(400, 3))
    labels = {"text": [f"firm {k}" for k in rng.integers(0, 30, n)], "number": rng.integers(0, 12, n)}
    labels = {name: labels[name] for name in names}
    expected = pd.DataFrame(values).assign(**labels, rows=1).groupby(list(names)).sum()
    parts = pieces_of(values, labels, np.sort(rng.choice(np.arange(1, n), 40, replace=False)))
    while len(parts) > 1:
        i = rng.integers(0, len(parts) - 1)
        parts[i : i + 2] = [parts[i].merge(parts[i + 1])]
    found = parts[0].to_table()
    frame = pd.DataFrame(found.sums).assign(
        rows=found.counts, **{name: column.to_pylist() for name, column in zip(names, found.labels, strict=True)}
    )
    frame = frame.set_index(list(names)).sort_index()
    assert frame.index.equals(expected.index)
    assert_close(frame[[0, 1, 2, "rows"]], expected[[0, 1, 2, "rows"]], rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", [{"cluster": "g"}, {"vcov": "CR2", "cluster": "g"}, {"cluster": ["g", "h"]}])
@pytest.mark.parametrize("as_text", [False, True])
def test_clusters_beyond_the_memory_are_summed_on_the_disk(options, as_text, tmp_path, monkeypatch):
    data = rows(clusters=100)
    data["g"] = [f"firm {k}" for k in data["g"]] if as_text else data["g"]
    files = in_files(data, tmp_path, 8)
    in_memory = sq.ols(FORMULA, files, **options)
    monkeypatch.setattr(cluster_sums, "_MOST_CELLS", 60)
    moved = []
    append = cluster_sums.GroupedStore.append
    monkeypatch.setattr(cluster_sums.GroupedStore, "append", lambda self, *table: (moved.append(1), append(self, *table))[1])
    monkeypatch.setenv("SQUARELY_CACHE_BYTES", "1000")
    on_disk = sq.ols(FORMULA, files, **options)
    assert len(moved) > 2
    assert_close(on_disk.cov_params(), in_memory.cov_params(), rtol=1e-9, atol=1e-15)
    assert on_disk.notes == in_memory.notes


@pytest.mark.parametrize("options", [{"cluster": "g"}, {"vcov": "CR2", "cluster": "g"}, {"cluster": ["g", "h"]}])
def test_the_number_of_threads_does_not_change_a_bit(options, tmp_path, monkeypatch):
    data = rows(n=2_000, clusters=100)
    files = in_files(data, tmp_path, 8)
    for limit in (cluster_sums._MOST_CELLS, 60):
        monkeypatch.setattr(cluster_sums, "_MOST_CELLS", limit)
        several = sq.ols(FORMULA, files, **options)
        with single_threaded():
            one = sq.ols(FORMULA, files, **options)
        assert several.cov_params().to_numpy().tobytes() == one.cov_params().to_numpy().tobytes()


@pytest.mark.parametrize("options", [{"vcov": "CR2", "cluster": "g", "weights": "w"}, {"vcov": "CR3", "cluster": "g"}])
def test_batches_are_cut_where_a_row_has_many_products(options, monkeypatch):
    data = rows() | {"w": np.random.default_rng(1).uniform(0.5, 2, 240)}
    whole = sq.ols(FORMULA, data, **options)
    monkeypatch.setattr(cluster_sums, "_BATCH_ROWS", 7)
    monkeypatch.setattr(cluster_sums, "_BATCH_CELLS", 1)
    assert_close(sq.ols(FORMULA, data, **options).cov_params(), whole.cov_params(), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("options", [{"vcov": "CR2", "cluster": "origin"}, {"cluster": ["origin", "model"]}])
def test_partitions_of_dask_give_the_same(options):
    cars = pd.read_csv(CARS)
    here = sq.ols("mpg ~ weight", cars, **options)
    with scheduler("synchronous"):
        there = sq.ols("mpg ~ weight", dask_frame(cars), **options)
    assert_close(there.bse, here.bse, rtol=1e-10)
    assert there.cov_kwds["groups"] == here.cov_kwds["groups"]


def test_sums_and_their_merge_travel_between_processes():
    a, b = pieces_of(np.ones((6, 2)), {"g": ["a", "b", "a", "c", "b", "b"]}, [3])
    a, b, merge = pickle.loads(pickle.dumps((a, b, cluster_sums.ClusterSums.merge)))  # noqa: S301
    found = merge(a, b).to_table()
    assert dict(zip(found.labels[0].to_pylist(), found.counts.tolist(), strict=True)) == {"a": 2, "b": 3, "c": 1}


def test_too_many_clusters_for_partitions_are_refused_with_their_number(monkeypatch):
    monkeypatch.setattr(cluster_sums, "_MOST_IN_PARTITIONS", 10)
    frame = pd.DataFrame(rows(clusters=100))
    with (
        scheduler("synchronous"),
        pytest.raises(DataError, match=r"at least \d\d clusters of 'g', .* at most 10\. Write the rows to Parquet"),
    ):
        sq.ols(FORMULA, dask_frame(frame), cluster="g")


# ---- what a fit says


def test_the_note_says_groups_sizes_factor_and_names_elsewhere():
    fit = sq.ols("score ~ stratio + english", table("caschools"), cluster="county")
    assert fit.notes[0] == (
        "Standard errors are robust to heteroscedasticity and to correlation within county (CR1, 45 clusters of 1 to 29 rows), "
        "times 45/44 * 419/417; t and F have 44 degrees of freedom. The same numbers: vce(cluster county) in Stata, "
        "feols(vcov=~county) and vcovCL(cluster=~county, type='HC1') in R; statsmodels' cov_type='cluster' with use_t=True."
    )
    assert fit.cov_type == "CR1"
    assert fit.cov_kwds == {"cluster": ["county"], "groups": {"county": 45}, "correction": pytest.approx(45 / 44 * 419 / 417)}
    assert "CR1 (county)" in str(fit.summary())


def test_a_cluster_that_is_a_category_of_the_formula():
    """The slope is that of statsmodels, and nothing shows the errors of the dummies."""
    data = rows()
    dummies = pd.get_dummies(data["g"], dtype=float).to_numpy()
    theirs = sm.OLS(data["y"], np.column_stack([data["z"], dummies])).fit(
        cov_type="cluster", cov_kwds={"groups": data["g"]}, use_t=True
    )
    assert_close(sq.ols("y ~ z + C(g)", data, cluster="g").bse["z"], theirs.bse[0], rtol=1e-8)
    fit = sq.ols("y ~ z + C(g)", data, vcov="CR3", cluster="g")
    assert fit.bse.drop("z").isna().all()
    assert any("and 17 more of g determine coefficients, each of them alone" in note for note in fit.notes)
    # Within g, the jackknife of the slope: one row of sums for each cluster.
    y, z = (values - pd.Series(values).groupby(data["g"]).transform("mean") for values in (data["y"], data["z"]))
    zz, zy = ((z * other).groupby(data["g"]).sum() for other in (z, y))
    changes = (zy.sum() - zy) / (zz.sum() - zz) - zy.sum() / zz.sum()
    assert_close(fit.bse["z"], np.sqrt(19 / 20 * (changes**2).sum()), rtol=1e-9)


def test_names_with_spaces_are_quoted_as_in_r():
    data = rows() | {"firm id": rows()["g"]}
    assert "feols(vcov=~`firm id`)" in sq.ols(FORMULA, data, cluster="firm id").notes[0]
    assert "vcovCL(cluster=~`firm id`+h)" in sq.ols(FORMULA, data, cluster=["firm id", "h"]).notes[0]


def test_the_note_follows_the_distribution_asked_for():
    fit = sq.ols(FORMULA, rows())
    assert "; t and F have 7 degrees of freedom." in fit.vcov(cluster="g", df=7).notes[0]
    assert "; tests use the normal and the chi-squared distribution." in fit.vcov("CR2", cluster="g", use_t=False).notes[0]
    assert "; tests use the normal and the chi-squared distribution." in fit.vcov("HC1", use_t=False).notes[0]


def test_few_clusters_are_noted_and_more_slopes_than_their_rank_are_not_tested_together():
    data = rows(clusters=3)
    data |= {name: np.random.default_rng(i).normal(size=240) for i, name in enumerate("abc")}
    fit = sq.ols("y ~ x + z + a + b + c", data, cluster="g")
    notes = " ".join(fit.notes)
    assert "With 3 clusters the t distribution with 2 degrees of freedom is a rough guide; vcov='CR2' has its own" in notes
    assert "5 slopes, 3 clusters: the covariance has rank 2, so F is NaN, and at most 2 constraints can be tested" in notes
    assert np.isnan(fit.fvalue)
    assert np.isnan(fit.f_pvalue)
    assert np.isfinite(fit.pvalues).all()
    with pytest.raises(DataError, match="has 3 constraints, and the CR1 covariance from 3 clusters has rank 2"):
        fit.f_test("a = b = c = 0")


def test_the_correction_can_be_left_out():
    data = rows()
    fit = sq.ols(FORMULA, data, cluster="g", correction="none")
    assert_close(fit.bse, sq.ols(FORMULA, data, vcov="CR0", cluster="g").bse, rtol=1e-14)
    assert fit.cov_kwds["correction"] == 1.0


# ---- labels and gaps


def test_labels_of_each_type_name_the_same_clusters():
    data = rows()
    g = data["g"]
    expected = sq.ols(FORMULA, data, cluster="g").bse
    labels = [
        g.astype(float), g.astype(np.float32), g.astype(np.int8), g.astype(np.uint64) + np.uint64(2**63), g.astype(str),
        pd.Series(g, dtype="Int64"), pd.Categorical(g, categories=range(50)), [Decimal(f"{k}.00") for k in g],
    ]  # fmt: skip
    for column in labels:
        assert_close(sq.ols(FORMULA, data | {"g": column}, cluster="g").bse, expected, rtol=1e-12)
    pa = need("pyarrow")
    twice = pa.DictionaryArray.from_arrays(pa.array(g + 20 * (np.arange(240) % 2)), pa.array([f"firm {k}" for k in range(20)] * 2))
    assert_close(sq.ols(FORMULA, pa.table(data | {"g": twice}), cluster="g").bse, expected, rtol=1e-12)
    halves = data | {"g": g > 9}
    assert sq.ols(FORMULA, halves, cluster="g").cov_kwds["groups"] == {"g": 2}


def test_labels_of_a_file_are_numbers_written_in_one_way(tmp_path):
    data = pd.DataFrame(rows())
    data["g"] = data["g"].map(str).where(np.arange(len(data)) % 2 == 0, data["g"].map("{}.0".format))
    data.to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(DataError, match=r"Column 'g' has '(\d+)(\.0)?' and '\1(\.0)?' among its labels, which are the same number"):
        sq.ols(FORMULA, tmp_path / "rows.csv", cluster="g")


def test_a_label_with_a_fraction_is_refused(tmp_path):
    data = rows() | {"g": rows()["g"] + 0.25}
    pd.DataFrame(data).to_csv(tmp_path / "rows.csv", index=False)
    for source in (data, tmp_path / "rows.csv"):
        with pytest.raises(DataError, match=r"Column 'g' has \d+\.25 among its labels, which is not a whole number"):
            sq.ols(FORMULA, source, cluster="g")


def test_one_cluster_is_refused():
    with pytest.raises(DataError, match="'one' of the dict of arrays has one value in all rows of the fit, and clusters need"):
        sq.ols(FORMULA, rows() | {"one": np.ones(240)}, cluster="one")
    with pytest.raises(DataError, match="'one' of the dict of arrays has one value"):
        sq.ols(FORMULA, rows() | {"one": ["a"] * 240}, cluster=["g", "one"])


def test_a_gap_drops_the_row_at_the_fit_and_is_refused_afterwards():
    data = rows()
    labels = [None if k == 3 else f"firm {k}" for k in data["g"]]
    kept = data["g"] != 3
    fit = sq.ols(FORMULA, data | {"firm": labels}, cluster="firm")
    assert fit.nobs == kept.sum()
    assert fit.rows.dropped == {"firm": {"null": int((~kept).sum()), "nan": 0, "inf": 0}}
    expected = sq.ols(FORMULA, {name: values[kept] for name, values in data.items()}, cluster="g")
    assert_close(fit.bse, expected.bse, rtol=1e-12)
    with pytest.raises(DataError, match=rf"'firm' .* is missing in {(~kept).sum()} rows of the 240 that the fit used"):
        sq.ols(FORMULA, data | {"firm": labels}).vcov(cluster="firm")


def test_gaps_in_either_of_two_columns_are_counted_together():
    data = rows() | {"firm": [None if i < 3 else "a" if i % 2 else "b" for i in range(240)]}
    data["year"] = [None if 5 <= i < 10 else i % 4 for i in range(240)]
    with pytest.raises(DataError, match=r"^'firm' or 'year' of .* is missing in 8 rows of the 240 .*with 'firm' and 'year' in"):
        sq.ols(FORMULA, data).vcov(cluster=["firm", "year"])


# ---- arrays beside X and y, and the words of other packages


def test_labels_are_arrays_beside_x_and_y():
    data = rows()
    X, y, g, h = np.column_stack([data["x"], data["z"]]), data["y"], data["g"], data["h"]
    expected = sq.ols(FORMULA, data, cluster="g").bse
    frame = pd.DataFrame({"x": data["x"], "z": data["z"]})
    for labels in (g, g.tolist(), [f"firm {k}" for k in g], pd.Series(g, name="firm"), pd.Series(g, name="x"), g[:, None]):
        for table_of_x in (X, frame):
            assert_close(sq.ols(X=table_of_x, y=y, cluster=labels).bse, expected, rtol=1e-12)
    expected = sq.ols(FORMULA, data, cluster=["g", "h"]).bse
    for labels in ([g, h], np.column_stack([g, h]), pd.DataFrame({"g": g, "h": h})):
        assert_close(sq.ols(X=X, y=y, cluster=labels).bse, expected, rtol=1e-12)
    named = sq.ols(X=X, y=y, cluster=pd.Series(g, name="firm"))
    assert named.cov_kwds["groups"] == {"firm": 20}
    assert_close(named.vcov("CR0", cluster="firm").bse, sq.ols(FORMULA, data, vcov="CR0", cluster="g").bse, rtol=1e-12)


def test_labels_beside_x_and_y_that_do_not_fit_are_refused():
    data = rows()
    X, y = data["x"][:, None], data["y"]
    with pytest.raises(DataError, match="'cluster': 239"):
        sq.ols(X=X, y=y, cluster=data["g"][1:])
    with pytest.raises(OptionError, match="cluster=5 is not the name of a column"):
        sq.ols(X=X, y=y, cluster=5)
    with pytest.raises(OptionError, match="is not the name of a column"):
        sq.ols(FORMULA, data, cluster=data["g"])


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ({"cov_type": "cluster", "groups": "g"}, {"groups": "g"}),
        ({"cov_type": "cluster-crv3", "groups": "g", "use_t": False}, {"groups": "g"}),
        ({"cov_type": "cluster", "groups": "g", "use_correction": False}, {"groups": "g", "use_correction": False}),
        ({"cov_type": "cluster", "groups": ["g", "h"]}, {"groups": ["g", "h"]}),
        ({"cov_type": "HC2"}, {}),
        ({}, {}),
    ],
)
def test_get_robustcov_results_is_that_of_statsmodels(words, options):
    data = rows()
    arrays = {name: pd.DataFrame(data)[value].to_numpy() if name == "groups" else value for name, value in options.items()}
    cov_type = words.get("cov_type", "HC1")
    theirs = sm.OLS(data["y"], matrix(data)).fit().get_robustcov_results(cov_type, use_t=words.get("use_t"), **arrays)
    ours = sq.ols(FORMULA, data).get_robustcov_results(**words)
    assert_close(ours.bse, theirs.bse, rtol=1e-8)
    assert_close(ours.pvalues, theirs.pvalues, rtol=1e-7)


def test_get_robustcov_results_refuses_arrays_and_other_words():
    fit = sq.ols(FORMULA, rows())
    with pytest.raises(OptionError, match="only a column is read with its rows, so that it stays aligned"):
        fit.get_robustcov_results("cluster", groups=rows()["g"])
    with pytest.raises(OptionError, match="cov_type='cluster-jk' of statsmodels is not available"):
        fit.get_robustcov_results("cluster-jk", groups="g")
    with pytest.raises(OptionError, match=r"cov_type='clustre' is not a covariance of statsmodels\. Did you mean 'cluster'"):
        fit.get_robustcov_results("clustre", groups="g")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("HC3", {"use_correction": False}), r"use_correction=False is for cov_type='cluster' and 'HAC' and 'hac-groupsum', and"),
        (("HC0", {"use_correction": True}), r"use_correction=True is for .*, and cov_type is 'HC0'\. Leave it out\."),
        (("cluster-crv3", {"groups": "g", "use_correction": False}), r"use_correction=False is for "),
        (("HC1", {"groups": "g"}), r"groups='g' is for cov_type='cluster' and 'cluster-crv3', and cov_type is 'HC1'"),
        (
            ("cluster", {"groups": "g", "maxlags": 2}),
            r"maxlags=2 is for cov_type='HAC' and 'hac-groupsum', and cov_type is 'cluster'",
        ),
        (("HAC", {"time": "h"}), r"time='h' is for cov_type='hac-groupsum', and cov_type is 'HAC'"),
        (("cluster", {}), r"cov_type='cluster' needs groups=\. Name the column, such as groups='firm'"),
        (("hac-groupsum", {"maxlags": 1}), r"cov_type='hac-groupsum' needs time=\. Name the column, such as time='year'"),
        (("HAC", {"use_correction": "hc1"}), r"use_correction='hc1' is not a boolean"),
    ],
    ids=str,
)
def test_get_robustcov_results_speaks_of_its_own_options(words, message):
    cov_type, options = words
    with pytest.raises(OptionError, match=rf"^{message}"):
        sq.ols(FORMULA, rows()).get_robustcov_results(cov_type, **options)


@pytest.mark.parametrize("formula", ["score ~ stratio + english + lunch", "score ~ C(grades) + english - 1"])
def test_the_f_of_cr2_is_the_joint_test_of_all_slopes(formula, tmp_path):
    fit = sq.ols(formula, table("caschools"), vcov="CR2", cluster="county")
    names = list(fit.params.index)
    slopes = [*names[1:]] if names[0] == "Intercept" else ["english", f"{names[0]} = {names[1]}"]
    joint = fit.f_test(", ".join(slopes))
    assert_close([fit.fvalue, fit.f_pvalue], [joint.fvalue, joint.pvalue], rtol=1e-8)
    fit.save(tmp_path / "fit.json")
    assert_close([sq.load(tmp_path / "fit.json").fvalue], [fit.fvalue], rtol=1e-13)
    assert np.isnan(sq.ols("score ~ 1", table("caschools"), vcov="CR2", cluster="county").fvalue)


def test_a_correction_that_would_have_no_effect_is_refused():
    with pytest.raises(OptionError, match="correction='min' is for vcov='CR1' with clusters by two columns"):
        sq.ols("score ~ stratio", table("caschools"), vcov="CR0", cluster=["county", "grades"], correction="min")


def test_options_without_an_effect_are_refused():
    fit = sq.ols("score ~ stratio", table("caschools"))
    with pytest.raises(OptionError, match=r"use_t=False is the normal distribution.* and df=10"):
        fit.vcov("HC1", use_t=False, df=10)


def test_nested_fits_have_one_covariance():
    small, large = (sq.ols(f, table("caschools")) for f in ("score ~ stratio", "score ~ stratio + english"))
    with pytest.raises(OptionError, match=r"The fits have CR1 covariances with different cluster=. Give all the same cluster=\."):
        sq.anova(small.vcov(cluster="county"), large.vcov(cluster="grades"))
    assert len(sq.anova(small.vcov(cluster="county"), large.vcov(cluster="county"))) == 2


@pytest.mark.parametrize(
    ("one", "other", "names"),
    [
        ({"vcov": "HAC", "lags": 2}, {"vcov": "HAC", "lags": 3}, "lags="),
        ({"vcov": "HAC", "lags": 20}, {"vcov": "HAC"}, "lags="),
        ({"vcov": "HAC", "lags": 2}, {"vcov": "HAC", "lags": 2, "correction": "none"}, "correction="),
        ({"vcov": "DK", "time": "county", "lags": 2}, {"vcov": "DK", "time": "county", "lags": 1}, "lags="),
        ({"cluster": "county"}, {"cluster": "county", "correction": "none"}, "correction="),
        ({"cluster": ["county", "grades"]}, {"cluster": ["county", "grades"], "correction": "min"}, "correction="),
        ({"vcov": "HC1", "df": 30}, {"vcov": "HC1"}, "df="),
        ({"vcov": "HC1", "df": 30}, {"vcov": "HC1", "use_t": False}, "df= and use_t="),
    ],
    ids=str,
)
def test_nested_fits_have_one_covariance_with_the_same_options(one, other, names):
    small, large = (sq.ols(f, table("caschools")) for f in ("score ~ stratio", "score ~ stratio + english"))
    with pytest.raises(OptionError, match=rf"covariances with different {names}\. Give all the same {names}\."):
        sq.anova(small.vcov(**one), large.vcov(**other))
    for options in (one, other):
        assert len(sq.anova(small.vcov(**options), large.vcov(**options))) == 2


@pytest.mark.parametrize("typ", [2, 3])
def test_analysis_of_variance_says_why_a_term_has_no_test(typ):
    data = rows(clusters=4) | {"h": [f"h{i}" for i in rows(clusters=4)["h"]]}
    fit = sq.ols("y ~ x + h", data, cluster="g")
    table = sq.anova(fit, typ=typ)
    assert table["F"].isna().tolist() == [False] * (typ == 3) + [False, True, True]
    assert "No F for h: the CR1 covariance has rank 3, and they have more columns." in " ".join(repr(table).split())


def test_other_errors_of_a_fit_with_gaps_in_its_clusters():
    data = {"x": np.arange(9.0), "y": np.arange(9.0) ** 2, "firm": ["a", None, "b", "b", "c", "c", "a", "d", "d"]}
    complete = {name: [v for v, firm in zip(values, data["firm"], strict=True) if firm] for name, values in data.items()}
    fit = sq.ols("y ~ x", data, cluster="firm")
    assert_close(fit.vcov("HC1").bse, sq.ols("y ~ x", complete, vcov="HC1").bse, rtol=1e-12)
