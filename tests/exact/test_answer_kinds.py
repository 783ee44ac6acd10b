"""Every kind of object that `certify` reads coefficients from, and what it refuses."""

import json
import subprocess
import sys
from collections import OrderedDict
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler

import squarely as sq
from squarely.errors import InputError, OptionError
from tests.support.checks import CARS as FILE
from tests.support.checks import need

CARS = sq.datasets.cars()
NAMES = ["displacement", "weight"]
FORMULA = "mpg ~ displacement + weight"
X, Y = CARS[NAMES].astype(float), CARS["mpg"]
MODEL = LinearRegression().fit(X, Y)
LEVEL, SLOPES = float(MODEL.intercept_), [float(slope) for slope in MODEL.coef_]
SCALED = LinearRegression().fit(StandardScaler().fit_transform(X), Y)
SCALER = StandardScaler().fit(X)


@pytest.fixture(scope="module")
def fit():
    return sq.ols(FORMULA, CARS)


READ = {
    "dict": {"Intercept": LEVEL, **dict(zip(NAMES, SLOPES, strict=True))},
    "other order": OrderedDict(zip(NAMES[::-1], SLOPES[::-1], strict=True), const=LEVEL),
    "names of R": {"(Intercept)": LEVEL, **dict(zip(NAMES, SLOPES, strict=True))},
    "names of Stata": {**dict(zip(NAMES, SLOPES, strict=True)), "_cons": LEVEL},
    "decimals and fractions": {"Intercept": Decimal(repr(LEVEL)), **{n: Fraction(b) for n, b in zip(NAMES, SLOPES, strict=True)}},
    "numpy scalars": {"Intercept": np.float64(LEVEL), **{n: np.array([b]) for n, b in zip(NAMES, SLOPES, strict=True)}},
    "series": pd.Series([LEVEL, *SLOPES], index=["Intercept", *NAMES]),
    "series without names": pd.Series([LEVEL, *SLOPES]),
    "list": [LEVEL, *SLOPES],
    "array": np.array([LEVEL, *SLOPES]),
    "column": np.array([[LEVEL], *[[slope] for slope in SLOPES]]),
    "coef and intercept": {"coef": SLOPES, "intercept": LEVEL},
    "numbers that statsmodels names": sm.OLS(Y.to_numpy(), sm.add_constant(X.to_numpy())).fit(),
    "results of frames": sm.OLS(Y, sm.add_constant(X)).fit(),
    "results of GLM": sm.GLM(Y, sm.add_constant(X)).fit(),
    "estimator": MODEL,
    "estimator of arrays": LinearRegression().fit(X.to_numpy(), Y),
    "estimator of a column": LinearRegression().fit(X, Y.to_frame()),
    "estimator of other column order": LinearRegression().fit(X[NAMES[::-1]], Y),
    "estimator with a column of ones": LinearRegression(fit_intercept=False).fit(sm.add_constant(X), Y),
    "estimator of an array with ones": LinearRegression(fit_intercept=False).fit(sm.add_constant(X.to_numpy()), Y),
    "pipeline": make_pipeline(StandardScaler(), LinearRegression()).fit(X, Y),
    "pipeline of other column order": make_pipeline(StandardScaler(), MinMaxScaler(), LinearRegression()).fit(X[NAMES[::-1]], Y),
    "pipeline with a step left out": make_pipeline(None, "passthrough", LinearRegression()).fit(X, Y),
    "scaled response": TransformedTargetRegressor(
        make_pipeline(StandardScaler(), LinearRegression()), transformer=StandardScaler()
    ).fit(X, Y),
    "scaled response in a pipeline": make_pipeline(
        StandardScaler(), TransformedTargetRegressor(LinearRegression(), transformer=MinMaxScaler())
    ).fit(X, Y),
    "search": GridSearchCV(Ridge(), {"alpha": [1e-12, 1e9]}).fit(X, Y),
}


@pytest.mark.parametrize("kind", READ)
def test_an_object_with_the_coefficients_of_least_squares_agrees(fit, kind):
    certificate = sq.certify(fit, params=READ[kind])
    assert certificate.agree, certificate.cause
    assert (sq.certify(FORMULA, CARS, params=READ[kind]).trained == certificate.trained).all()
    json.dumps(certificate.as_dict())


@pytest.mark.parametrize(
    "scaler",
    [
        SCALER,
        {"mean": SCALER.mean_, "scale": SCALER.scale_},
        {"means": list(SCALER.mean_), "stds": list(SCALER.scale_)},
        {"mean": dict(zip(NAMES, SCALER.mean_, strict=True)), "scale": dict(zip(NAMES, SCALER.scale_, strict=True))},
        {"mean": X.mean(), "std": X.std(ddof=0)},
        {"mean": [*SCALER.mean_, 0.0], "scale": [*SCALER.scale_, 1.0]},
        (SCALER, StandardScaler(with_mean=False, with_std=False).fit(Y.to_frame())),
    ],
)
def test_a_scaler(fit, scaler):
    assert sq.certify(fit, params=SCALED, scaler=scaler).agree


def test_a_scaler_of_the_response_by_name(fit):
    Z = (Y - Y.mean()) / Y.std()
    model = LinearRegression().fit(SCALER.transform(X), Z)
    means, stds = CARS[["mpg", *NAMES]].mean(), CARS[["mpg", *NAMES]].std(ddof=0)
    stds["mpg"] = Y.std()
    assert sq.certify(fit, params=model, scaler={"mean": means, "scale": stds}).agree


def test_nothing_of_the_user_changes(fit):
    params, scaler = (
        {"coef": np.array(SCALED.coef_), "intercept": SCALED.intercept_},
        {"mean": SCALER.mean_, "scale": SCALER.scale_},
    )
    before = params["coef"].copy(), scaler["mean"].copy()
    sq.certify(fit, params=params, scaler=scaler)
    assert (params["coef"] == before[0]).all()
    assert (scaler["mean"] == before[1]).all()


def test_modules_and_state_dicts_of_torch(fit, tmp_path):
    torch = need("torch")
    layer = torch.nn.Linear(2, 1, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([SLOPES]))
        layer.bias.fill_(LEVEL)
    inside = torch.nn.Sequential(OrderedDict(linear=layer))
    for params in (layer, inside, layer.state_dict(), inside.state_dict(), torch.tensor([LEVEL, *SLOPES])):
        assert sq.certify(fit, params=params).agree
    assert layer.weight.requires_grad
    need("safetensors")
    from safetensors.torch import save_file

    for name, module in {"plain": layer, "prefix": inside, "bfloat16": torch.nn.Linear(2, 1, dtype=torch.bfloat16)}.items():
        path = tmp_path / f"{name}.safetensors"
        save_file(module.state_dict(), path)
        certificate = sq.certify(fit, params=path)
        assert certificate.agree == (name != "bfloat16")
        assert certificate.dtype == ("half precision" if name == "bfloat16" else "float64")
    layer.float()
    assert sq.certify(fit, params=layer).dtype == "float32"
    bare = torch.nn.Linear(2, 1, bias=False)
    assert "intercept" in sq.certify(fit, params=bare).cause or sq.certify(fit, params=bare).verdict == "not converged"


def test_a_net_of_skorch(fit):
    torch, skorch = need("torch"), need("skorch")
    net = skorch.NeuralNetRegressor(torch.nn.Linear, module__in_features=2, module__out_features=1, max_epochs=1, verbose=0)
    net.fit(SCALER.transform(X).astype(np.float32), Y.to_numpy(np.float32)[:, None])
    certificate = sq.certify(fit, params=net, scaler=SCALER)
    assert certificate.verdict == "not converged"


def test_files_of_json(fit, tmp_path):
    path = tmp_path / "params.json"
    for content in (READ["dict"], {"coef": SLOPES, "intercept": LEVEL}, [LEVEL, *SLOPES]):
        path.write_text(json.dumps(content))
        assert sq.certify(fit, params=path).agree
        assert sq.certify(fit, params=str(path)).agree
    scaler = tmp_path / "scaler.json"
    scaler.write_text(json.dumps({"mean": list(SCALER.mean_), "scale": list(SCALER.scale_)}))
    path.write_text(json.dumps({"coef": list(SCALED.coef_), "intercept": SCALED.intercept_}))
    assert sq.certify(fit, params=path, scaler=scaler).agree


def test_a_pickle_is_not_opened(fit, tmp_path):
    for name in ("model.pkl", "model.joblib", "model.pt", "model.npy"):
        with pytest.raises(InputError, match=r"may hold code that runs when it is read, so it is not opened\. Save"):
            sq.certify(fit, params=tmp_path / name)


REFUSED = {
    "missing": ({"Intercept": LEVEL, "weight": 1.0}, r"has no coefficient of 'displacement', which the formula has\."),
    "misspelt": ({"Intercept": 1.0, "displacment": 1.0, "weight": 1.0}, r"'displacment'.* Did you mean 'displacement'\?"),
    "extra": ({**READ["dict"], "horsepower": 0.0}, r"'horsepower', and the formula has no such column\. Add it to the formula"),
    "twice": (pd.Series([1.0, 2.0, 3.0], index=["weight", "weight", "displacement"]), "two coefficients called 'weight'"),
    "not finite": ({**READ["dict"], "weight": np.nan}, "the coefficient nan, which is not a finite number"),
    "too large": ({**READ["dict"], "weight": -1e300}, "the coefficient 1e\\+300, and a double does not hold its square"),
    "a frame": (pd.DataFrame({"coef": READ["dict"]}), r"is a DataFrame\. Give one column of it"),
    "pairs": ([("Intercept", 1.0), ("weight", 2.0)], "which is not a real number"),
    "complex": ({**READ["dict"], "weight": 1j}, "a complex number as a coefficient"),
    "text": ({**READ["dict"], "weight": "-0.01"}, "'-0.01' as the coefficient of 'weight', which is not a number"),
    "boolean": ({**READ["dict"], "weight": True}, "True as the coefficient of 'weight'"),
    "nothing": ({**READ["dict"], "weight": None}, "None as the coefficient of 'weight'"),
    "empty": ({}, r"has no coefficients\. Give one for each column"),
    "nested": ({"params": READ["dict"]}, "another mapping under 'params'"),
    "too few numbers": ([1.0], "has 1 coefficient, and the formula has 3"),
    "too many numbers": (np.arange(4.0), "has 4 coefficients, and the formula has 3"),
    "ragged": ([[1.0], [2.0, 3.0]], "which is not a real number"),
    "several responses": (LinearRegression().fit(X, CARS[["mpg", "acceleration"]]), "the answer of several responses"),
    "not fitted": (LinearRegression(), "is a LinearRegression that is not fitted: call its fit first"),
    "a pipeline not fitted": (make_pipeline(StandardScaler(), LinearRegression()), "has a StandardScaler that is not fitted"),
    "a class": (LinearRegression, "is the class LinearRegression"),
    "a forest": (RandomForestRegressor(2).fit(X, Y), "it is not a linear model"),
    "a classifier": (LogisticRegression().fit(X / 1000, Y > 20), "a LogisticRegression, which classifies"),
    "components": (make_pipeline(PCA(2), LinearRegression()).fit(X, Y), "has a PCA, and only a scaling of columns can be undone"),
    "polynomials": (
        make_pipeline(PolynomialFeatures(2), LinearRegression()).fit(X, Y),
        "has a PolynomialFeatures, and only a scaling",
    ),
    "other columns": (
        LinearRegression().fit(CARS[["weight", "model"]], Y),
        r"'model'.* Did you mean|'model', and the formula has no",
    ),
    "a function": (len, "which has no coefficients"),
    "a number": (3.0, "which has no coefficients"),
    "a path that is not there": ("missing.json", "does not exist"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_an_object_that_is_refused(fit, kind):
    params, words = REFUSED[kind]
    with pytest.raises(InputError, match=words):
        sq.certify(fit, params=params)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", "has no coefficients"),
        ("35.2", "has no coefficients, but 35.2"),
        ("{", "is not JSON of finite numbers"),
        ('{"Intercept": NaN}', "is not JSON of finite numbers"),
        ('{"params": {"Intercept": 1}}', "another mapping under 'params'"),
        ('{"a": [1, 2], "b": [3]}', "a linear model has one weight"),
        ("[" * 100_000, "is not JSON of finite numbers"),
    ],
)
def test_a_file_that_is_refused(fit, tmp_path, content, words):
    path = tmp_path / "params.json"
    path.write_text(content)
    with pytest.raises(InputError, match=words):
        sq.certify(fit, params=path)


def test_tensors_that_are_refused(fit, tmp_path):
    torch = need("torch")
    deep = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    with pytest.raises(InputError, match=r"'0\.weight'.*and a linear model has one weight and at most one bias"):
        sq.certify(fit, params=deep.state_dict())
    assert sq.certify(fit, params=deep).verdict in ("not converged", "intercept")  # its outputs are linear
    with pytest.raises(InputError, match="The model is not linear in its inputs"):
        sq.certify(fit, params=torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1)))
    with pytest.raises(InputError, match="has 4 coefficients beside the intercept, and the formula has 2"):
        sq.certify(fit, params=torch.nn.Linear(4, 1))
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"\x80\x04pickle")
    with pytest.raises(InputError, match="is not a safetensors file"):
        sq.certify(fit, params=path)


@pytest.mark.parametrize(
    ("scaler", "words"),
    [
        (StandardScaler(), "has a StandardScaler that is not fitted"),
        (PCA().fit(X), "has a PCA, and only a scaling of columns can be undone"),
        (StandardScaler().fit(CARS[["weight"]]), "scaler= is of 1 column"),
        ({"mean": [1.0, 2.0]}, "has no means and scales"),
        ({"mean": [1.0], "scale": [1.0, 2.0]}, "has other means than scales"),
        ({"mean": [1.0, 1.0], "scale": [1.0, 0.0]}, "a scale of zero"),
        ({"mean": {"weight": 1.0}, "scale": {"weight": 1.0}}, "has nothing for 'displacement'"),
        (3.0, "has a float"),
    ],
)
def test_a_scaler_that_is_refused(fit, scaler, words):
    with pytest.raises(InputError, match=words):
        sq.certify(fit, params=SCALED, scaler=scaler)


def test_arguments_that_do_not_go_together(fit):
    params = READ["dict"]
    with pytest.raises(OptionError, match=r"lr=0\.1 is an option of training, and params= is an answer that is made already"):
        sq.certify(FORMULA, CARS, params=params, lr=0.1)
    with pytest.raises(OptionError, match=r"'wher' is not an option of certify with params=\. Did you mean 'where'\?"):
        sq.certify(FORMULA, CARS, params=params, wher="weight > 1")
    with pytest.raises(OptionError, match=r"scaler= is for the answer params=, which is not given"):
        sq.certify(FORMULA, CARS, scaler=SCALER)
    with pytest.raises(OptionError, match=r"where= has no effect on a fit that is made already"):
        sq.certify(fit, params=params, where="weight > 1")
    with pytest.raises(OptionError, match=r"tau=0 is not a number of standard errors above zero"):
        sq.certify(fit, params=params, tau=0)
    for formula, data in ((FORMULA, None), (None, None), (fit, CARS), (fit.ridge(1.0), None)):
        with pytest.raises(InputError, match=r"Give a formula and data, or the result of ols"):
            sq.certify(formula, data, params=params)
    with pytest.raises(InputError, match="params=None has no coefficients"):
        sq.certify(FORMULA, CARS, params=None)
    with pytest.raises(InputError, match="has fixed effects"):
        sq.certify("mpg ~ weight | origin", CARS, params={"weight": 1.0})


def test_rows_are_chosen_as_in_ols():
    part = CARS[CARS["weight"] > 2500]
    model = LinearRegression().fit(part[NAMES], part["mpg"])
    assert sq.certify(FORMULA, FILE, params=model, where="weight > 2500").agree


def test_a_loaded_fit_names_what_needs_no_rows(fit, tmp_path):
    fit.save(tmp_path / "fit.json")
    loaded = sq.load(tmp_path / "fit.json")
    assert sq.certify(loaded, params=MODEL).agree
    ridge = sq.certify(loaded, params=Ridge(alpha=1e5).fit(X, Y))
    assert ridge.verdict == "penalized"
    assert ridge.slope.basis == "moments"
    assert sq.certify(loaded, params=LinearRegression().fit(X[:300], Y[:300])).verdict == "disagree"


def test_numbers_import_neither_torch_nor_scikit_learn():
    code = (
        "import sys, squarely as sq; data = {'x': [0.0, 1, 2, 3], 'y': [1.0, 3, 5, 8]}\n"
        "print(sq.certify('y ~ x', data, params={'Intercept': 1.0, 'x': 2.0}).verdict)\n"
        "assert not {'torch', 'sklearn', 'statsmodels'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
