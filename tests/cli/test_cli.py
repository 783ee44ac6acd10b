"""The command line in this process: text, JSON, exit codes, help. test_process.py runs it as a separate process."""

import json
import sys
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import squarely as sq
from squarely.cli import app, main
from tests.support.checks import CARS, assert_close, need

FORMULA = "mpg ~ displacement"


@pytest.fixture
def run(monkeypatch, capsys):
    """Give what runs a command as `squarely` does, and returns its exit code, stdout and stderr."""

    def command(*words):
        monkeypatch.setattr(sys, "argv", ["squarely", *words])
        monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # which a command sets
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        return SimpleNamespace(returncode=end.value.code or 0, **capsys.readouterr()._asdict())

    return command


def test_version_and_help(run):
    assert run("--version").out == run("-V").out == f"squarely {sq.__version__}\n"
    assert run("-h").out == run("--help").out
    for command in ("demo", "ols", "preview", "anova", "effects", "margins", "test", "merge", "train", "sweep", "certify"):
        shown = CliRunner().invoke(app, [command, "--help"])
        assert shown.exit_code == 0
        assert f"Example: squarely {command}" in " ".join(shown.output.split())
        assert "--json" in shown.output


def test_fold_is_chosen_and_refused_for_files(run):
    shown = CliRunner().invoke(app, ["ols", FORMULA, CARS, "--fold", "batches", "--json"])
    assert json.loads(shown.output)["fold"] == "batches"
    done = run("ols", FORMULA, CARS, "--fold", "aggregates")
    assert done.returncode == 2
    assert "Open it as a Polars LazyFrame" in done.err
    assert run("ols", FORMULA, CARS, "--fold", "rows").returncode == 2


def test_ols_text_and_json(run):
    text = run("ols", FORMULA, CARS)
    assert (text.returncode, text.err) == (0, "")
    assert "OLS Regression Results" in text.out
    done = run("ols", "mpg ~ displacement + horsepower", CARS, "--json")
    numbers, fit = json.loads(done.out), sq.ols("mpg ~ displacement + horsepower", CARS)
    for name in ("rsquared", "rsquared_adj", "fvalue", "f_pvalue", "llf", "aic", "bic", "nobs", "df_resid", "df_model", "mse_resid",
                 "ssr", "ess", "centered_tss", "durbin_watson", "condition_number", "rank"):  # fmt: skip
        assert numbers[name] == getattr(fit, name)
    for name in ("omnibus", "omnibus_pvalue", "jarque_bera", "jarque_bera_pvalue", "skew", "kurtosis"):
        assert numbers[name] == getattr(fit.normality, name)
    for name in ("params", "bse", "tvalues", "pvalues", "digits"):
        assert numbers[name] == getattr(fit, name).to_dict()
    assert numbers["conf_int"] == {name: list(limits) for name, limits in fit.conf_int().T.items()}
    assert [record.pop("name") for record in numbers["table"]] == list(fit.table.index)
    assert numbers["table"] == fit.table.to_dict("records")
    assert_close(numbers["cov_params"]["horsepower"]["displacement"], fit.cov_params().loc["horsepower", "displacement"], rtol=0)
    assert numbers["rows"] == {
        "read": 398,
        "used": 392,
        "filtered": 0,
        "weightless": 0,
        "dropped": {"horsepower": {"null": 6, "nan": 0, "inf": 0}},
    }


def test_a_dry_run_fits_nothing(run):
    text = run("ols", "mpg ~ displacement + C(origin)", CARS, "--dry-run")
    assert (text.returncode, text.err) == (0, "")
    assert text.out == f"{sq.preview('mpg ~ displacement + C(origin)', CARS).summary()}\n"
    done = run("ols", FORMULA, CARS, "--dry-run", "--where", "weight > 3000", "--json")
    plan = json.loads(done.out)
    assert [step["purpose"] for step in plan["passes"]] == ["cross-products", "residuals"]
    assert plan["names"] == ["Intercept", "displacement"]
    assert sorted(plan["columns_read"]) == ["displacement", "mpg", "weight"]
    done = run("ols", FORMULA, CARS, "--dry-run", "--weights", "weight", "--cluster", "model", "--json")
    plan = json.loads(done.out)
    assert plan["passes"][-1] == {"purpose": "standard errors", "gathers": "the CR1 covariance by model"}
    assert sorted(plan["columns_read"]) == ["displacement", "model", "mpg", "weight"]
    assert run("ols", FORMULA, CARS, "--dry-run", "--cluster", "modle").returncode == 2
    assert run("ols", "mpg ~ displacment", CARS, "--dry-run").returncode == 2
    refused = run("ols", FORMULA, CARS, "--dry-run", "--save", "fit.json")
    assert refused.returncode == 2
    assert "--save has no effect" in refused.err


def test_plot_writes_a_figure_and_is_checked_before_the_fit(run, tmp_path):
    need("matplotlib")
    for name, start in (("fit.png", b"\x89PNG"), ("fit.svg", b"<?xml")):
        done = run("ols", FORMULA, CARS, "--plot", str(tmp_path / name))
        assert (done.returncode, done.err) == (0, "")
        assert "OLS Regression Results" in done.out
        assert (tmp_path / name).read_bytes().startswith(start)
    several = run("ols", "mpg ~ weight + C(origin)", CARS, "--json", "--plot", str(tmp_path / "b.png"))
    assert json.loads(several.out)["nobs"] == 398
    assert (tmp_path / "b.png").exists()
    kind = run("ols", "mpg ~ weight + C(origin)", CARS, "--plot", str(tmp_path / "d.png"), "--plot-kind", "diagnostics")
    assert kind.returncode == 0
    assert (tmp_path / "d.png").stat().st_size > (tmp_path / "b.png").stat().st_size
    for flags, says in ((["--plot-kind", "qq"], "--plot-kind qq has no file"), (["--plot-kind", "q"], "--plot-kind q is not")):
        refused = run("ols", FORMULA, "absent.csv", *flags)
        assert refused.returncode == 2
        assert says in refused.err
    for name, says in (("fit.xyz", "matplotlib has no format"), ("absent/fit.png", "does not exist")):
        refused = run("ols", FORMULA, "absent.csv", "--plot", str(tmp_path / name))
        assert refused.returncode == 2
        assert says in refused.err
    refused = run("ols", FORMULA, CARS, "--dry-run", "--plot", str(tmp_path / "c.png"))
    assert refused.returncode == 2
    assert "--plot has no effect" in refused.err


def test_a_dry_run_shows_the_first_rows_and_how_they_are_read(run, tmp_path):
    path = tmp_path / "sales.csv"
    path.write_text("y;x\n1,5;2\n2,5;3\n4,0;NA\n7,1;?\n")
    text = " ".join(run("ols", "y ~ x", str(path), "--dry-run", "--na-values", "?").out.split())
    for words in ("Delimiter: ;", "Decimal sign: ,", "y number 0 1,5 2,5 4,0", "x integer 2 2 3 missing", "Rows: 4 Cells"):
        assert words in text
    assert "The word '?' is read as a missing value: 1 in 'x'." in text
    plan = json.loads(run("ols", "y ~ x", str(path), "--dry-run", "--na-values", "?", "--json").out)
    assert plan["data"] == json.loads(run("preview", str(path), "--na-values", "?", "--json").out)
    assert sq.preview("y ~ x", {"x": [1.0, 2.0, 4.0], "y": [1.0, 2.0, 3.0]}).data is None


def test_json_of_data_on_a_line(tmp_path, run):
    path = tmp_path / "line.csv"
    path.write_text("x,y\n1,2\n2,4\n3,6\n4,8\n")
    done = run("ols", "y ~ x", str(path), "--json")
    assert done.returncode == 0
    assert json.loads(done.out)["params"] == {"Intercept": 0.0, "x": 2.0}


def test_json_is_strict(tmp_path, run):
    path = tmp_path / "flat.csv"
    path.write_text("x,y\n1,5\n2,5\n3,5\n4,5\n")
    done = run("ols", "y ~ x", str(path), "--json")
    numbers = json.loads(done.out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert numbers["rsquared"] is None


def test_train_sweep_and_certify(run):
    need("torch")
    done = run("train", FORMULA, CARS, "--epochs", "50", "--dtype", "float64", "--json")
    numbers = json.loads(done.out)
    assert done.returncode == 0
    assert numbers["status"] == "converged"
    assert len(numbers["history"]["loss"]) == 51
    assert_close([numbers["theory"]["lr_limit"], numbers["theory"]["lr_best"]], [1.0, 0.5], rtol=1e-12)
    done = run("sweep", FORMULA, CARS, "--lr", "0.1", "--lr", "0.01", "--epochs", "20", "--json")
    assert [r["lr"] for r in json.loads(done.out)["runs"]] == [0.1, 0.01]
    done = run("certify", FORMULA, CARS, "--json")
    assert done.returncode == 0
    certificate = json.loads(done.out)
    assert certificate["verdict"] == "agree"
    assert abs(certificate["coefficients"]["displacement"]["gap_se"]) < 1e-3


def test_train_ends_with_1_where_it_used_up_its_epochs(run):
    need("torch")
    words = ["train", "mpg ~ displacement + weight", CARS]
    assert run(*words).returncode == 0
    done = run(*words, "--lr", "0.01", "--epochs", "20")
    assert (done.returncode, done.err) == (1, "")
    assert "standard errors from least squares" in " ".join(done.out.split())
    done = run(*words, "--lr", "0.01", "--epochs", "20", "--json")
    assert done.returncode == 1
    numbers = json.loads(done.out)
    assert numbers["status"] == "epochs used up"
    assert numbers["distance_se"] > 0.01


def test_divergence_is_printed_once(run):
    need("torch")
    done = run("train", "mpg ~ displacement + weight", CARS, "--lr", "5")
    assert (done.returncode, done.err) == (1, "")
    assert done.out.count("past all") == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["train", FORMULA, CARS, "--lr", "1.5"], 1, "past all bounds"),
        (["certify", FORMULA, CARS, "--lr", "0.0001"], 1, ""),
        (["certify", FORMULA, CARS, "--lr", "1.5"], 1, ""),
        (["sweep", FORMULA, CARS, "--lr", "1.5", "--lr", "2.5"], 1, "past all bounds"),
        (["ols", FORMULA, "nowhere.csv"], 2, "does not exist"),
        (["ols", FORMULA], 2, "DATA"),
        (["ols", FORMULA, CARS, "--nonsense"], 2, "--nonsense"),
        (["train", FORMULA, CARS, "--epochs", "many"], 2, "--epochs"),
        (["fit", FORMULA, CARS], 2, "fit"),
    ],
)
def test_exit_codes(words, code, message, run):
    need("torch")
    done = run(*words)
    assert done.returncode == code
    assert message in (done.err if code == 2 else " ".join(done.out.split()))  # a numerical "no" is part of the page
    assert "Traceback" not in done.err


def test_a_numerical_no_still_prints_its_result(run):
    need("torch")
    done = run("certify", FORMULA, CARS, "--lr", "0.0001")
    assert "not converged" in done.out
    assert "more epochs at --lr 0.0001" in " ".join(done.out.split())
    assert "diverged" in run("train", FORMULA, CARS, "--lr", "1.5").out


def test_demo(tmp_path, monkeypatch, run):
    need("torch")
    need("matplotlib")
    monkeypatch.chdir(tmp_path)
    done = run("demo", "--json")
    assert done.returncode == 0
    numbers = json.loads(done.out)
    assert numbers["certify"]["agree"]
    assert "8. The two answers meet" in done.err
    assert len(list((tmp_path / "squarely-demo").glob("*.png"))) == 6
    (tmp_path / "taken").write_text("a file, not a folder")
    blocked = run("demo", "--out", "taken")
    assert blocked.returncode == 2
    assert "taken" in blocked.err
    assert "Traceback" not in blocked.err


BAD = [
    (["ols", "mpg ~ displacment", CARS], "Did you mean 'displacement'"),
    (["ols", "mpg ~ log(name)", CARS], "'chevrolet chevelle malibu' in data row 1"),  # named alone it is categories
    (["ols", "mpg ~ __import__('os')", CARS], "nothing is evaluated as Python"),
    (["train", FORMULA, CARS, "--lr", "0"], "not a learning rate"),
    (["train", FORMULA, CARS, "--lr", "-1"], "not a learning rate"),
    (["train", FORMULA, CARS, "--lr", "nan"], "not a learning rate"),
    (["train", FORMULA, CARS, "--epochs", "0"], "asks for no update"),
    (["train", FORMULA, CARS, "--epochs", "-2"], "asks for no update"),
    (["sweep", FORMULA, CARS, "--lr", "0"], "not a learning rate"),
    (["certify", FORMULA, CARS, "--tau", "0"], "tau"),
    (["ols", "y ~ x", "empty.csv"], "is empty"),
    (["ols", "y ~ x", "header.csv"], "no rows"),
    (["ols", "y ~ x", "one.csv"], "1 complete row"),
    (["ols", "y ~ x", "two.csv"], "2 complete rows"),
    (["train", "y ~ x", "constant.csv"], "standardizing divides by its standard deviation"),
]


@pytest.mark.parametrize(("words", "message"), BAD)
def test_bad_input_exits_with_2_and_one_message(words, message, tmp_path, monkeypatch, capsys):
    need("torch")
    files = {"empty": "", "header": "x,y\n", "one": "x,y\n1,2\n", "two": "x,y\n1,2\n2,3\n", "constant": "x,y\n1,2\n1,3\n1,4\n"}
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["squarely", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    shown = capsys.readouterr()
    assert stop.value.code == 2
    assert message in shown.err
    assert shown.err.startswith("squarely: error: ")
    assert shown.err.count("squarely: error") == 1
    assert all(line.startswith("    ") for line in shown.err.splitlines()[1:])  # a formula and its carets
    assert shown.out == ""


def test_carets_stand_under_their_cause_and_every_line_is_safe(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["squarely", "ols", "mpg ~ `\x1b[31m\u202ered` +\n\tdisplacment\r", CARS])
    with pytest.raises(SystemExit):
        main()
    message, formula, carets = capsys.readouterr().err.removesuffix("\n").split("\n")
    assert "no column '\\x1b[31m\\u202ered' in cars.csv" in message
    assert formula == "    mpg ~ `\\x1b[31m\\u202ered` +"
    assert carets == "          " + "^" * len("`\\x1b[31m\\u202ered`")
    monkeypatch.setattr(sys, "argv", ["squarely", "ols", "mpg ~ weight +\n\tdisplacment\r", CARS])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.split("\n")[1:] == ["    \\tdisplacment\\r", "      ^^^^^^^^^^^", ""]


def test_a_message_of_another_library_is_made_safe_line_by_line(capsys):
    from squarely.cli.exit import print_error

    print_error(ValueError("one\x1b[2J\ntwo\r\u202e"))
    assert capsys.readouterr().err == "squarely: error: one\\x1b[2J\ntwo\\r\\u202e\n"


def test_names_that_attack_the_terminal_are_shown_harmless(tmp_path, run):
    path = tmp_path / "odd.csv"
    path.write_text("y,\x1b[31mred\n1,2\n2,3\n3,5\n4,9\n")
    done = run("ols", "y ~ `\x1b[31mred`", str(path))
    assert done.returncode == 0
    assert "\x1b" not in done.out
    assert "\\x1b[31mred" in done.out
    assert "\x1b" not in run("ols", "y ~ `\x1b[31mblue`", str(path)).err


def test_hypotheses(run, tmp_path):
    formula, hypothesis = "mpg ~ weight + C(origin)", "origin[2] = origin[3] = 0"
    fit = sq.ols(formula, CARS)
    expected = fit.f_test(hypothesis).fvalue
    done = run("ols", formula, CARS, "--test", hypothesis, "--test", "weight = 0", "--save", str(tmp_path / "fit.json"))
    assert done.returncode == 0  # also if a test rejects
    assert (
        done.out.index("OLS Regression Results")
        < done.out.index(f"H0: {hypothesis.split(' = 0')[0]}")
        < done.out.index("H0: weight")
    )
    numbers = json.loads(run("ols", formula, CARS, "--test", hypothesis, "--json").out)
    assert numbers["tests"][0]["fvalue"] == expected
    assert "tests" not in json.loads(run("ols", formula, CARS, "--json").out)
    saved = run("test", str(tmp_path / "fit.json"), hypothesis, "weight", "--json")
    assert_close([test["fvalue"] for test in json.loads(saved.out)["tests"]], [expected, fit.tvalues["weight"] ** 2], rtol=1e-9)
    assert run("test", str(tmp_path / "fit.json"), hypothesis).out.count("Wald Test") == 1
    refused = run("test", str(tmp_path / "fit.json"), "wieght = 0")
    assert (refused.returncode, refused.out) == (2, "")
    assert refused.err.endswith("Did you mean 'weight'?\n    wieght = 0\n    ^^^^^^\n")
    assert "--test has no effect" in run("ols", formula, CARS, "--test", "weight", "--dry-run").err


def test_anova(run):
    formula = "mpg ~ weight * C(origin)"
    for words, options, typ in (([], {}, 1), (["--typ", "3", "--vcov", "HC3"], {"vcov": "HC3"}, 3)):
        frame = sq.anova(sq.ols(formula, CARS, **options), typ=typ)
        done = run("anova", formula, CARS, *words)
        assert (done.returncode, done.err) == (0, "")
        assert f"Analysis of Variance, Type {typ}" in done.out
        rows = json.loads(run("anova", formula, CARS, *words, "--json").out)["table"]
        assert [row["name"] for row in rows] == list(frame.index)
        assert [row["F"] for row in rows][:-1] == frame["F"].to_list()[:-1]
    done = run("anova", formula, CARS, "--vcov", "CR1", "--cluster", "model", "--typ", "2")
    assert "Covariance Type: CR1" in done.out
    assert "--typ 1" in run("anova", formula, CARS, "--vcov", "HC1").err


def test_hypotheses_on_a_run_are_refused(run, tmp_path):
    need("torch")
    sq.train("mpg ~ weight", CARS, epochs=2, checkpoint=tmp_path / "run")
    done = run("test", str(tmp_path / "run"), "weight = 0")
    assert done.returncode == 2
    assert "is a saved run, and hypotheses are tested on a fit" in done.err


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["--vcov", "HC3"], {"vcov": "HC3"}),
        (["--cluster", "model"], {"cluster": "model"}),
        (
            ["--cluster", "model", "--cluster", "origin", "--correction", "min"],
            {"cluster": ["model", "origin"], "correction": "min"},
        ),
        (["--vcov", "CR2", "--cluster", "model"], {"vcov": "CR2", "cluster": "model"}),
        (["--vcov", "HAC", "--lags", "3"], {"vcov": "HAC", "lags": 3}),
        (["--vcov", "DK", "--time", "model"], {"vcov": "DK", "time": "model"}),
    ],
)
def test_covariances(run, words, options):
    fit = sq.ols(FORMULA, CARS, **options)
    numbers = json.loads(run("ols", FORMULA, CARS, *words, "--json").out)
    assert numbers["bse"] == fit.bse.to_dict()
    assert numbers["cov_type"] == fit.cov_type


def test_a_wrong_covariance_is_named_by_its_flag(run):
    assert "--lags 3 is for --vcov HAC and --vcov DK" in run("ols", FORMULA, CARS, "--lags", "3").err
    assert "--lags x is not a whole number" in run("ols", FORMULA, CARS, "--vcov", "HAC", "--lags", "x").err
    assert "--vcov robust is HC1 in Stata" in run("anova", FORMULA, CARS, "--vcov", "robust").err


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["--vcov", "HC3"], {"vcov": "HC3"}),
        (["--cluster", "model"], {"cluster": "model"}),
        (["--cluster", "model,origin", "--correction", "min"], {"cluster": ["model", "origin"], "correction": "min"}),
        (["--cluster", "model", "--cluster", "origin"], {"cluster": ["model", "origin"]}),
        (["--vcov", "HAC", "--lags", "4", "--correction", "none"], {"vcov": "HAC", "lags": 4, "correction": "none"}),
        (["--vcov", "DK", "--time", "model"], {"vcov": "DK", "time": "model"}),
    ],
)
def test_covariances_are_those_of_python(run, words, options):
    numbers = json.loads(run("ols", "mpg ~ weight", CARS, "--json", *words).out)
    fit = sq.ols("mpg ~ weight", CARS, **options)
    assert numbers["bse"] == pytest.approx(fit.bse.to_dict(), rel=1e-12)
    assert (numbers["cov_type"], numbers["df_resid_inference"]) == (fit.cov_type, fit.df_resid_inference)


def test_the_words_of_other_packages_stay(run):
    page = " ".join(run("ols", "mpg ~ weight", CARS, "--cluster", "model").out.split())
    assert "feols(vcov=~model)" in page
    assert "statsmodels' cov_type='cluster'" in page
