"""Columns of text that a person reads as numbers: refused with the row, or noted, and never categories in silence."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import squarely as sq
from squarely.cli import app
from squarely.design.encoding.numbers_as_text import is_missing_word, numbers_in, unit_of
from squarely.errors import DataError
from tests.support.checks import FORMS, assert_close, hand_over, need

SIGNED = {
    "decimal comma": lambda i: f"{10 + i},{5 + i % 5}",
    "percent": lambda i: f"{i}.5%",
    "percent apart": lambda i: f"{i} %",
    "dollar": lambda i: f"${51 + i}.25",
    "euro": lambda i: f"{51 + i},25 €",
    "yen": lambda i: f"¥1,{200 + i}",
    "thousands": lambda i: f"{5 + i},125",
    "Indian thousands": lambda i: f"12,{34 + i},567",
    "apostrophes": lambda i: f"{5 + i}'125",
    "no-break spaces": lambda i: f"{5 + i}\xa0125",
    "narrow spaces": lambda i: f"{5 + i}\u202f125",
    "underscores": lambda i: f"{5 + i}_125",
    "a minus of its own": lambda i: f"\u2212{5 + i}",
    "a minus behind": lambda i: f"{1200 + i}-",
    "a Fortran exponent": lambda i: f"1.{i}D+03",
    "a currency": lambda i: f"USD {5 + i}",
    "reais": lambda i: f"R$ {5 + i}",
    "rupees": lambda i: f"Rs. {5 + i},200",
    "footnotes": lambda i: f"{5 + i} [a]",
    "German thousands": lambda i: f"{5 + i}.125,50",
    "middle dots": lambda i: f"{5 + i}\xb75",
    "powers of ten": lambda i: f"{5 + i} \xd7 10^3",
    "powers of ten above the line": lambda i: f"{5 + i}\xd710\xb3",
    "deviations": lambda i: f"{5 + i} ± 0.1",
}
MEASURED = {
    "cc": lambda i: f"{998 + i} CC",
    "kmpl": lambda i: f"{20 + i}.4 kmpl",
    "months": lambda i: f"{12 + i} months",
    "litres": lambda i: f"1.{i} L",
    "K": lambda i: f"{1 + i}.4K",
    "M and k": lambda i: f"{19 + i}{'Mk'[i % 2]}",
    "brackets": lambda i: f"({1200 + i})",
    "a formula of Excel": lambda i: f'="{1200 + i}"',
    "a quote before": lambda i: f"'{1200 + i}",
    "about": lambda i: f"~{5 + i}",
    "more than": lambda i: f">{5 + i}",
    "or more": lambda i: f"{10 + i},000+",
    "stars": lambda i: f"{5 + i}*",
    "a rate": lambda i: f"{5 + i}/yr",
    "a flag": lambda i: f"{5 + i}.4 b",
    "euro behind": lambda i: f"{5 + i} EUR",
    "square metres": lambda i: f"{50 + i} m2",
    "feet": lambda i: f"{5 + i} ft 3 in",
    "quotes for feet": lambda i: f"{5 + i}'11\"",
    "hours": lambda i: f"{1 + i}h 30m",
    "words": lambda i: f"ca. {5 + i}",
    "signs of no width": lambda i: f"\ufeff{5 + i}",
    "degrees": lambda i: f"{5 + i} °C",
}
ODD = ["?", "-", "TBD", "n/a", "<low", "k.A.", "Varies with device", "..", "auf Anfrage"]


def table(values, seed=0):
    """Make a table of values of x, a response and a further column."""
    rng = np.random.default_rng(seed)
    return {"y": rng.normal(size=len(values)), "x": list(values), "z": rng.normal(size=len(values))}


def message_of(data, formula="y ~ x"):
    with pytest.raises(DataError) as caught:
        sq.ols(formula, data)
    return str(caught.value)


@pytest.mark.parametrize("case", SIGNED | MEASURED)
def test_numbers_with_signs_and_units_are_refused(case):
    values = [(SIGNED | MEASURED)[case](i) for i in range(30)]
    message = message_of(table(values))
    assert f"{values[0]!r} in data row 1." in message
    assert "or write C(x)" in message
    odd = ODD[len(case) % len(ODD)]
    values[7] = odd
    for formula in ("y ~ x", "y ~ z * x", "y ~ ."):
        assert f"text among numbers such as {values[0]!r}: {odd!r} in data row 8." in message_of(table(values), formula)
    assert len(sq.ols("y ~ C(x)", {**table(values * 2)}).params) == 30  # on purpose


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", ["decimal comma", "dollar", "kmpl"])
def test_one_odd_mark_is_named_by_every_source(case, form, tmp_path):
    values = [(SIGNED | MEASURED)[case](i) for i in range(30)]
    for row, odd in ((7, "?"), (0, "TBD"), (29, "k.A.")):
        held = [*values[:row], odd, *values[row + 1 :]]
        message = message_of(hand_over(form, table(held), tmp_path))
        assert f": {odd!r} in data row {row + 1}." in message
        assert "or write C(x) if" in message


@pytest.mark.parametrize("odd", ["?", "-", ".", "..", "k.A.", "51,25*", "51,25 (r)", "TBD", "1.234,5", "Quelle: Amt"])
def test_a_file_with_decimal_commas_names_the_culprit(odd, tmp_path):
    rows = [(f"{i},{i % 7}", f"{(i * i) % 11},5") for i in range(30)]
    rows[11] = (odd, rows[11][1])
    (tmp_path / "a.csv").write_text("x;y\n" + "".join(f"{x};{y}\n" for x, y in rows))
    path = tmp_path / "a.csv"
    for formula in ("y ~ x", "x ~ y", "y ~ I(2 * x)"):
        assert f"{odd!r} in data row 12" in message_of(path, formula)
    (tmp_path / "b.csv").write_text("x;y\n" + "".join(f"{x};{y}\n" for x, y in rows if x != odd))
    x, y = np.array([[float(v.replace(",", ".")) for v in row] for row in rows if odd not in row]).T
    assert_close(sq.ols("y ~ x", tmp_path / "b.csv").params, np.polyfit(x, y, 1)[::-1], rtol=1e-12)


def test_whole_numbers_beside_decimal_commas_are_no_culprits(tmp_path):
    (tmp_path / "a.csv").write_text("y;x\n1,5;3\n2;50,80\n3;3\n4;2\n5;k.A.\n6;7,5\n")
    assert "'k.A.' in data row 5." in message_of(tmp_path / "a.csv")


def test_the_command_line_refuses_and_notes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("y,x,g\n" + "".join(f"{i % 7},${i}.5,{'ab?'[i % 3]}\n" for i in range(9)) + "3,Free,a\n")
    shown = CliRunner().invoke(app, ["ols", "y ~ x", "a.csv"])
    assert isinstance(shown.exception, DataError)
    assert "'Free' in data row 10." in str(shown.exception)
    shown = CliRunner().invoke(app, ["ols", "y ~ g", "a.csv", "--json"])
    (note,) = json.loads(shown.output)["notes"]
    assert note.startswith("Level '?' of g looks like a missing value: 3 rows.")


# ---- what may be a category


@pytest.mark.parametrize(
    "levels",
    [
        ("1st", "2nd", "3rd", "4th"),
        ("A1", "A2", "B1", "B2"),
        ("Q1", "Q2", "Q3", "Q4"),
        ("18-25 years", "26-40 years", "41-65 years"),
        ("<18", "18-64", "65+"),
        ("under 18", "18 to 64", "over 64"),
        ("18 to 25 years", "26 to 40 years", "41 to 64 years"),
        ("12345-6789", "12345-6780", "54321-0001"),
        ("SW1A 1AA", "EC1A 1BB", "W1A 0AX"),
        ("AB+", "A-", "0+x"),
        ("1.2.3", "1.2.4", "2.0.0"),
        ("version 1", "version 2"),
        ("+", "-"),
        ("none", "low", "high"),
        ("2 Fast 2 Furious", "12 Monkeys", "101 Dalmatians"),
        ("1011 AB", "1012 CD", "1013 EF"),
        ("1950s", "1960s", "1970s", "1980s", "1990s", "2000s"),
    ],
)
def test_categories_stay_without_a_note(levels):
    fit = sq.ols("y ~ x", table(levels * 10))
    assert len(fit.params) == len(levels)
    assert fit.as_dict()["notes"] == []


@pytest.mark.parametrize(
    ("levels", "shown"),
    [
        (("4wd", "2wd", "awd"), "2 levels of x can be read as a number, such as '2wd'"),
        (("3-door", "5-door"), "2 levels of x can be read as a number, such as '3-door'"),
        (("36 months", "60 months"), "2 levels"),
        (("1+", "2+", "3+", "negative"), "3 levels"),
        (("1 day", "2 days", "3 days"), "3 levels"),
        (("10%", "20%", "placebo", "other", "none"), "2 levels"),
    ],
)
def test_what_may_be_numbers_is_noted(levels, shown):
    fit = sq.ols("y ~ x", table(levels * 10))
    (note,) = fit.as_dict()["notes"]
    assert note.startswith(shown)
    assert "C(x) says that they are categories" in note
    assert shown in " ".join(str(fit.summary()).split())
    assert sq.ols("y ~ C(x)", table(levels * 10)).as_dict()["notes"] == []


def test_units_that_are_reported():
    for text, unit in {"$1,200": "", "1248 CC": "cc", "19M": "k", "3+": "+", "1 day": "day", "2 days": "day"}.items():
        assert unit_of(text) == unit, text
    for text in (
        "",
        "?",
        "a1",
        "10-20",
        "12:30",
        "1/2/2020",
        "192.168.0.1",
        "1st",
        "5D10",
        "5. 0",
        "x" * 100,
        "5" * 100,
        " " * 200_000,
    ):
        assert unit_of(text) is None, text[:20]
    assert numbers_in(["1,5", "2,5", "?"], comma=True).plain_numbers == {"1,5", "2,5"}


# ---- words for missing

WORDS = ["None", "n/a", "<NA>", "Null", "\\N", "(null)", "#NULL!", "<undefined>", "?", ".", "-", "..", " ", "#NA", "NaT", "/", "--"]


@pytest.mark.parametrize("word", WORDS)
def test_words_for_missing_are_noted(word, tmp_path):
    values = ["a", "b", word, "a", "b"] * 4
    fit = sq.ols("y ~ x", table(values))
    assert fit.nobs == 20
    assert len(fit.params) == 3  # neither dropped nor changed
    (note,) = fit.as_dict()["notes"]
    assert note.startswith(f"Level {word!r} of x looks like a missing value: 4 rows.")
    assert " ".join(note.split()) in " ".join(str(fit.summary()).split())
    left = sq.ols("y ~ x", table(values), where=f"x != {word!r}")  # as the note advises
    assert (left.nobs, left.as_dict()["notes"]) == (16, [])
    fit.save(tmp_path / "a.json")
    assert sq.load(tmp_path / "a.json").as_dict()["notes"] == [note]


@pytest.mark.parametrize("form", FORMS)
def test_words_for_missing_are_noted_by_every_source(form, tmp_path):
    data = hand_over(form, table(["a", "b", "?", "n/a", "b"] * 4), tmp_path)
    for formula in ("y ~ x", "y ~ C(x)", "y ~ z:x", "y ~ ."):
        notes = sq.ols(formula, data).as_dict()["notes"]
        assert [note.split(". ")[0] for note in notes] == [
            f"Level '{word}' of x looks like a missing value: 4 rows" for word in ("?", "n/a")
        ]
    if form in ("polars lazy", "duckdb"):
        assert sq.ols("y ~ x", data, fold="aggregates").as_dict()["notes"] == sq.ols("y ~ x", data).as_dict()["notes"]


def test_words_for_missing_are_counted_over_batches_and_merged_fits():
    n = 70_000  # more than a batch
    values = np.where(np.arange(n) % 1000 == 0, "?", np.where(np.arange(n) % 2 == 0, "a", "b"))
    fit = sq.ols("y ~ x", table(values))
    assert "70 rows" in fit.as_dict()["notes"][0]
    one, other = sq.ols("y ~ x", table(["a", "b", "?", "a", "b"] * 3)), sq.ols("y ~ x", table(["a", "b"] * 9, seed=1))
    third = sq.ols("y ~ x", table(["a", "b", "?", "a", "b"] * 3, seed=2))
    both = one.merge(other, third)
    assert "6 rows" in both.as_dict()["notes"][0]
    assert "3 rows" in both.remove(one).as_dict()["notes"][0]
    assert both.remove(one).remove(third).as_dict()["notes"] == []


def test_levels_that_the_formula_lists_are_meant():
    data = table(["a", "?", "b"] * 5)
    assert sq.ols("y ~ C(x, levels=['?', 'a', 'b'])", data).as_dict()["notes"] == []
    assert [is_missing_word(level, ["+", "-"]) for level in ("+", "-", "?", 3)] == [False, False, True, False]


def test_training_notes_them_too():
    need("torch")
    data = table(["a", "?", "b"] * 5)
    fit, run = sq.ols("y ~ x", data), sq.train("y ~ x", data, epochs=1)
    (note,) = fit.as_dict()["notes"]
    assert note in run.warnings
    certificate = sq.certify(fit, run)
    assert certificate.as_dict()["notes"] == [note]
    assert note in " ".join(str(certificate).split())


# ---- commas and points that may part thousands

DOUBTFUL = {
    "commas beside lists": ("x\ty\tt\n1,250\t50\tred\n2,300\t61\tblue\n1,900\t57\t3,5\n3,100\t80\tred\n", "1,250"),
    "commas beside decimal commas": ("x;y\n1,250;50,5\n2,300;61\n900;57\n", "1,250"),
    "points beside whole numbers": ("x;y\n987;40\n1.234;55\n12.345;610\n560;22\n", "1.234"),
    "points in a tab file": ("x\ty\n987\t40.5\n1.234\t55.25\n12.345\t61.5\n560\t22\n", "1.234"),
    "points beside decimal commas": ("x|y\n1.987|40,5\n1.234|55,5\n12.345|61\n", "1.987"),
    "a minus": ("x;y\n-1.234;40\n-987;55\n0;61\n", "-1.234"),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_what_may_part_thousands_is_refused(name, tmp_path):
    content, value = DOUBTFUL[name]
    (tmp_path / "a.csv").write_text(content)
    for formula in ("y ~ x", "x ~ y", "y ~ I(x + 1)"):
        assert f"'x' of a.csv has values such as {value!r}, in which the " in message_of(tmp_path / "a.csv", formula)
    assert sq.ols("y ~ 1", tmp_path / "a.csv").nobs == content.count("\n") - 1


@pytest.mark.parametrize(
    ("content", "x"),
    [
        ("x;y\n1.2340;40\n987;55\n12.345;61\n", [1.234, 987, 12.345]),  # the way out of the message
        ("x;y\n1,2340;40\n987;55\n12,345;61\n", [1.234, 987, 12.345]),
        ("x;y\n1234;40\n987;55\n12345;61\n", [1234, 987, 12345]),
        ("x;y\n1.234;40\n0.987;55\n12.345;61\n", [1.234, 0.987, 12.345]),
        ("x;y\n1.234;40\n9.870;55\n12.345;61\n", [1.234, 9.87, 12.345]),  # three decimals throughout
        ("x;y\n1.234;40\n1500;55\n12.345;61\n", [1.234, 1500, 12.345]),  # whole numbers that nothing parts
        ("x;y\n0,125;40\n1,234;55\n7;61\n", [0.125, 1.234, 7]),
        ("x,y\n1.234,40\n987,55\n12.345,61\n", [1.234, 987, 12.345]),  # between commas a point is decimal
    ],
)
def test_what_cannot_part_thousands_is_decimal(content, x, tmp_path):
    (tmp_path / "a.csv").write_text(content)
    assert_close(sq.ols("y ~ x", tmp_path / "a.csv").params, np.polyfit(x, [40, 55, 61], 1)[::-1], rtol=1e-12)


# ---- texts that only the engine takes for numbers

SAMPLE = 20_600  # rows, more than the engine looks at


@pytest.mark.parametrize("late", [False, True])
def test_what_the_engine_alone_takes_for_a_number_is_text(late, tmp_path):
    path = tmp_path / "a.csv"
    many = "".join(f"{i % 11};{i % 7}\n" for i in range(SAMPLE)) if late else "3;4\n5;6\n1;1\n"
    row = many.count("\n") + 1
    for odd in ("1_2", "1_0.5", "1e1_0", "+-5", "nan(1)"):
        path.write_text("y,x\n" + many.replace(";", ",") + f"3,{odd}\n")
        for formula in ("y ~ x", "x ~ y"):
            assert f"{odd!r} in data row {row:,}" in message_of(path, formula)
    for odd in ("1_2", "+-5,5"):
        path.write_text("y;x\n0,5;1\n" + many + f"3;{odd}\n")
        assert f"{odd!r} in data row {row + 1:,}." in message_of(path)


def test_a_value_after_the_sample_that_may_part_thousands_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    many = "".join(f"{i % 11};{i % 7}\n" for i in range(SAMPLE))
    for first, odd in (("0.5;1\n", "1.234"), ("0,5;1\n", "1,234")):
        path.write_text("y;x\n" + first + many + f"3;{odd}\n")
        assert f"'x' of a.csv has small whole numbers and {odd!r} in data row {SAMPLE + 2:,}" in message_of(path)
        path.write_text("y;x\n" + first + many + f"3;{odd}5\n")
        assert sq.ols("y ~ x", path).nobs == SAMPLE + 2


def test_underscores_in_other_columns_harm_nothing(tmp_path):
    y, x = np.random.default_rng(0).normal(size=(2, 50))
    (tmp_path / "a.csv").write_text(
        "y_1,x_1,g\n" + "".join(f"{a!r},{b!r},a_{i % 3}(+-)\n" for i, (a, b) in enumerate(zip(y.tolist(), x.tolist(), strict=True)))
    )
    assert_close(sq.ols("y_1 ~ x_1", tmp_path / "a.csv").params, np.polyfit(x, y, 1)[::-1], rtol=1e-12)


# ---- chance


def decorated(rng):
    """Give a way to write numbers, drawn from parts."""
    before = rng.choice(["", "", "", "$", "€ ", "~", "USD ", "\u2212", "'", "(", ">"])
    behind = rng.choice(["", "", "", "%", " %", "€", " kg", "K", "*", "+", "-", " [a]", "/yr", ")"])
    parting, tail = rng.choice(["", ",", "."]), rng.choice(["", ",5", ".5"])

    def write():
        whole = f"{rng.integers(1, 99)}{parting}{rng.integers(100, 999)}" if parting else str(rng.integers(1, 999))
        return f"{before}{whole}{tail}{behind}"

    return write


@pytest.mark.parametrize("seed", range(40))
def test_no_decoration_makes_categories_in_silence(seed, tmp_path):
    rng = np.random.default_rng(seed)
    write = decorated(rng)
    values = [write() for _ in range(40)]
    for _ in range(rng.integers(0, 4)):
        values[rng.integers(40)] = str(rng.choice([*ODD, "", " ", "1 or 2", write() + "*"]))
    data = hand_over(str(rng.choice(FORMS)), table(values, seed), tmp_path)
    try:
        fit = sq.ols(str(rng.choice(["y ~ x", "y ~ z * x", "y ~ x:z", "y ~ ."])), data)
    except DataError:
        return
    assert not fit.design.categories or any("can be read as a number" in note for note in fit.as_dict()["notes"]), values
