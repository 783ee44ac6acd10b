"""`squarely certify --params`: an answer made elsewhere, from a file."""

import json

import pandas as pd
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.preprocessing import StandardScaler

import squarely as sq
from tests.cli.test_cli import run  # noqa: F401
from tests.support.checks import CARS, assert_close, need

NAMES = ["displacement", "weight"]
FORMULA = "mpg ~ displacement + weight"
DATA = pd.read_csv(CARS)
MODEL = LinearRegression().fit(DATA[NAMES], DATA["mpg"])


def write(folder, model, name="params.json"):
    path = folder / name
    path.write_text(json.dumps({"Intercept": model.intercept_, **dict(zip(NAMES, model.coef_.tolist(), strict=True))}))
    return str(path)


def test_the_exit_code_and_the_page_are_those_of_the_verdict(run, tmp_path):  # noqa: F811
    path = write(tmp_path, MODEL)
    done = run("certify", FORMULA, CARS, "--params", path)
    assert (done.returncode, done.err) == (0, "")
    assert done.out == str(sq.certify(FORMULA, CARS, params=path)) + "\n"
    ridge = Ridge(alpha=1e4).fit(DATA[NAMES], DATA["mpg"])
    other = run("certify", FORMULA, CARS, "--params", write(tmp_path, ridge), "--json")
    printed = json.loads(other.out)
    assert (other.returncode, printed["verdict"], printed["rows"]["trained"]) == (1, "penalized", None)
    assert "alpha=1e+04 on the columns as they are" in printed["cause"]
    assert_close([each["trained"] for each in printed["coefficients"].values()], [ridge.intercept_, *ridge.coef_], rtol=1e-15)


def test_options_of_rows_and_of_columns(run, tmp_path):  # noqa: F811
    part = DATA[DATA["weight"] > 2500]
    path = write(tmp_path, LinearRegression().fit(part[NAMES], part["mpg"]))
    assert run("certify", FORMULA, CARS, "--params", path, "--where", "weight > 2500").returncode == 0
    scaler = StandardScaler().fit(DATA[NAMES])
    path = write(tmp_path, LinearRegression().fit(scaler.transform(DATA[NAMES]), DATA["mpg"]))
    scaled = run("certify", FORMULA, CARS, "--params", path)
    assert scaled.returncode == 1
    assert "Give the means and scales as --scaler" in " ".join(scaled.out.split())
    (tmp_path / "scaler.json").write_text(json.dumps({"mean": scaler.mean_.tolist(), "scale": scaler.scale_.tolist()}))
    assert run("certify", FORMULA, CARS, "--params", path, "--scaler", str(tmp_path / "scaler.json")).returncode == 0


def test_a_state_dict(run, tmp_path):  # noqa: F811
    torch, _ = need("torch"), need("safetensors")
    from safetensors.torch import save_file

    tensors = {"weight": torch.tensor([MODEL.coef_.tolist()]), "bias": torch.tensor([float(MODEL.intercept_)])}
    save_file(tensors, tmp_path / "model.safetensors")
    done = run("certify", FORMULA, CARS, "--params", str(tmp_path / "model.safetensors"), "--json")
    assert (done.returncode, json.loads(done.out)["evidence"]) == (0, "made by state dict")


def test_what_does_not_go_together(run, tmp_path):  # noqa: F811
    path = write(tmp_path, MODEL)
    for words, said in (
        (["--params", path, "--lr", "0.1"], "--lr 0.1 is an option of training, and --params is an answer that is made already"),
        (["--scaler", path], "--scaler is for the answer --params, which is not given"),
        (["--params", str(tmp_path / "nowhere.json")], "does not exist"),
        (["--params", path, "--scaler", path], "has no means and scales"),
    ):
        done = run("certify", FORMULA, CARS, *words)
        assert (done.returncode, done.out) == (2, "")
        assert said in done.err
