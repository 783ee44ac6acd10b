"""Files of Stata, SPSS and SAS: the numbers that went in, labels as categories, missing values of every kind as missing."""

import gzip
import pathlib

import numpy as np
import pandas as pd
import pyreadstat
import pytest
import statsmodels

import squarely as sq
from squarely.data import open_source
from squarely.errors import DataError, OptionError
from tests.support.checks import assert_close

SAS = pathlib.Path(__file__).parents[1] / "data" / "formats" / "sample.sas7bdat.gz"
RNG = np.random.default_rng(17)
TABLE = pd.DataFrame({"x": RNG.normal(size=120), "g": np.tile(["a", "b b", "ü", ""], 30), "k": np.tile([1.0, 2.0, 3.0], 40)})
TABLE["y"] = 3 * TABLE["x"] + TABLE["k"] + RNG.normal(size=120)
TABLE.loc[5, "x"] = np.nan
LABELS = {"k": {1.0: "low", 2.0: "middle", 3.0: "high"}}

ASCII = TABLE.assign(g=TABLE["g"].str.replace("ü", "u"))

WRITE = {
    "dta": lambda path: TABLE.to_stata(path, write_index=False, version=118),
    "DTA": lambda path: ASCII.to_stata(path, write_index=False, version=114),
    "sav": lambda path: pyreadstat.write_sav(TABLE, str(path)),
    "zsav": lambda path: pyreadstat.write_sav(TABLE, str(path), compress=True),
    "por": lambda path: pyreadstat.write_por(ASCII, str(path)),
    "xpt": lambda path: pyreadstat.write_xport(TABLE, str(path), file_format_version=8),
}


@pytest.mark.parametrize("suffix", WRITE)
def test_the_numbers_are_those_that_were_written(suffix, tmp_path):
    """A .por file has capital letters in names, and its writer keeps some digits fewer than a double has."""
    path = tmp_path / f"t.{suffix}"
    WRITE[suffix](path)
    frame = ASCII if suffix in ("DTA", "por") else TABLE
    frame = frame.rename(columns=str.upper) if suffix == "por" else frame
    frame.to_csv(tmp_path / "t.csv", index=False)
    formula = "Y ~ X + G + C(K)" if suffix == "por" else "y ~ x + g + C(k)"
    ours, expected = sq.ols(formula, path), sq.ols(formula, tmp_path / "t.csv")
    assert (ours.rows.used, expected.rows.used) == (89, 89)
    if suffix == "por":
        assert_close(ours.params, expected.params, rtol=1e-8)
    else:
        assert ours.params.to_dict() == expected.params.to_dict()


def test_the_stata_file_of_statsmodels_is_its_csv_file():
    folder = pathlib.Path(statsmodels.__file__).parent / "datasets" / "macrodata"
    ours = sq.ols("realgdp ~ realcons + infl", folder / "macrodata.dta")
    expected = sq.ols("realgdp ~ realcons + infl", pd.read_csv(folder / "macrodata.csv").astype("float32"))  # as Stata has them
    assert ours.nobs == 203
    assert ours.params.to_dict() == expected.params.to_dict()


@pytest.mark.parametrize("suffix", ["dta", "sav"])
def test_value_labels_are_categories_in_the_order_of_their_values(suffix, tmp_path):
    path = tmp_path / f"t.{suffix}"
    if suffix == "dta":
        TABLE.to_stata(path, write_index=False, value_labels=LABELS)
    else:
        pyreadstat.write_sav(TABLE, str(path), variable_value_labels=LABELS, variable_measure={"k": "ordinal"})
    fit = sq.ols("y ~ x + k", path)
    assert list(fit.params.index) == ["Intercept", "k[T.middle]", "k[T.high]", "x"]
    expected = sq.ols("y ~ x + C(k)", TABLE)
    assert sorted(fit.params) == sorted(expected.params)


@pytest.mark.parametrize("suffix", ["dta", "sav"])
def test_a_column_of_which_some_values_have_labels_has_numbers(suffix, tmp_path):
    path = tmp_path / f"t.{suffix}"
    labels = {"k": {3.0: "refused", 9.0: "unknown"}}
    if suffix == "dta":
        TABLE.to_stata(path, write_index=False, value_labels=labels)
    else:
        pyreadstat.write_sav(TABLE, str(path), variable_value_labels=labels)
    source = open_source(path)
    assert source.notes == ("'k' as numbers, because some of its values have no label; one label is 'refused'",)
    assert sq.ols("y ~ x + k", path).params.to_dict() == sq.ols("y ~ x + k", TABLE).params.to_dict()


def test_a_scale_of_spss_has_numbers(tmp_path):
    pyreadstat.write_sav(TABLE, str(tmp_path / "t.sav"), variable_value_labels=LABELS, variable_measure={"k": "scale"})
    assert open_source(tmp_path / "t.sav").kind("k") == "number"


def test_two_values_of_stata_with_one_label(tmp_path):
    TABLE.to_stata(tmp_path / "t.dta", write_index=False)
    pyreadstat.write_dta(TABLE, str(tmp_path / "t.dta"), variable_value_labels={"k": {1.0: "a", 2.0: "a", 3.0: "b"}})
    source = open_source(tmp_path / "t.dta")
    assert (source.kind("k"), source.notes) == (
        "number",
        ("codes and not value labels: two codes of a column have the same label",),
    )


def test_user_missing_values_are_missing(tmp_path):
    pyreadstat.write_sav(TABLE, str(tmp_path / "t.sav"), missing_ranges={"k": [3.0]})
    fit = sq.ols("y ~ k", tmp_path / "t.sav")
    assert (fit.rows.used, fit.rows.dropped["k"]["null"]) == (80, 40)
    pyreadstat.write_dta(
        TABLE.assign(k=TABLE["k"].astype(object).replace(3.0, "a")), str(tmp_path / "t.dta"), missing_user_values={"k": ["a"]}
    )
    fit = sq.ols("y ~ k", tmp_path / "t.dta")
    assert (fit.rows.used, fit.rows.dropped["k"]["null"]) == (80, 40)


def test_a_file_of_sas_is_what_pandas_reads(tmp_path):
    (tmp_path / "t.sas7bdat").write_bytes(gzip.decompress(SAS.read_bytes()))
    expected = pd.read_sas(tmp_path / "t.sas7bdat", encoding="latin-1")
    for path in (tmp_path / "t.sas7bdat", SAS):
        source = open_source(path)
        assert list(source.columns) == list(expected)
        (batch,) = source.read(["mynum", "myord"], ["mychar"])
        assert [column.to_pylist() for column in batch.columns] == [expected[n].tolist() for n in ("mynum", "myord", "mychar")]
        with pytest.raises(DataError, match=r"Column 'dtime' of .* holds .* values, which are neither numbers nor categories"):
            sq.ols("mynum ~ dtime", path)


def test_a_transport_file_of_sas_is_what_pandas_reads(tmp_path):
    pyreadstat.write_xport(TABLE, str(tmp_path / "t.xpt"), file_format_version=5)
    (batch,) = open_source(tmp_path / "t.xpt").read(["x", "y", "k"])
    expected = pd.read_sas(tmp_path / "t.xpt", format="xport", encoding="latin-1")
    for column, name in zip(batch.columns, ("x", "y", "k"), strict=True):
        np.testing.assert_array_equal(column.to_numpy(zero_copy_only=False), expected[name])


@pytest.mark.parametrize("suffix", ["dta", "DTA", "sav", "zsav", "por", "xpt", "sas7bdat"])
def test_a_cut_file_is_an_error(suffix, tmp_path):
    path = tmp_path / f"t.{suffix}"
    if suffix == "sas7bdat":
        path.write_bytes(gzip.decompress(SAS.read_bytes()))
    else:
        WRITE[suffix](path)
    whole = path.read_bytes()
    for cut in (len(whole) // 3, len(whole) * 2 // 3, len(whole) - 90):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match=r"'t\.\w+' cannot be read as a"):
            open_source(path)


def test_options_and_names_that_do_not_fit(tmp_path):
    WRITE["sav"](tmp_path / "t.sav")
    with pytest.raises(OptionError, match=r"does not apply to 't.sav', a SPSS file"):
        open_source(tmp_path / "t.sav", {"sheet": 1})
    (tmp_path / "t.sav").rename(tmp_path / "t.csv")
    with pytest.raises(DataError, match=r"is called .csv, but its content is that of an SPSS file"):
        open_source(tmp_path / "t.csv")
    (tmp_path / "t.dta").write_text("x,y\n1,2\n")
    with pytest.raises(DataError, match="not that of a Stata file: it is text or damaged"):
        open_source(tmp_path / "t.dta")


def test_text_in_another_encoding_is_noted(tmp_path):
    path = tmp_path / "a.dta"
    frame = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0], "g": ["café", "tea", "café", "tea"]})
    frame.to_stata(path, version=118, write_index=False)
    assert "Latin-1" not in str(sq.ols("y ~ g", path).summary())
    path.write_bytes(path.read_bytes().replace("café".encode(), "café".encode("latin-1") + b"\0"))
    fit = sq.ols("y ~ C(g, Treatment('tea'))", path)
    assert list(fit.params.index) == ["Intercept", "C(g, Treatment('tea'))[T.café]"]
    assert "not in the encoding of the file as Latin-1" in " ".join(str(fit.summary()).split())
