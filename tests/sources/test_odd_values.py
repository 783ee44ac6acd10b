"""Values that a person reads in another way than a program: dates, marks for a missing value, levels that look the same."""

import numpy as np
import pytest

import squarely as sq
from squarely.design.encoding.dates import are_dates, is_date
from squarely.design.learning.odd_values import find_mark
from tests.support.checks import FORMS, hand_over, need

MONTHS = [(2020 + i // 12, i % 12 + 1) for i in range(24)]
NAMES = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
WRITTEN = {  # files.md F21: ways of the IMF, OECD, FRED-MD and Excel
    "2020M01": [f"{y}M{m:02}" for y, m in MONTHS],
    "2020M1": [f"{y}M{m}" for y, m in MONTHS],
    "2020-01": [f"{y}-{m:02}" for y, m in MONTHS],
    "Jan-20": [f"{NAMES[m - 1]}-{y % 100}" for y, m in MONTHS],
    "January 2020": [f"{NAMES[m - 1]} {y}" for y, m in MONTHS],
    "01-Jan-2020": [f"01-{NAMES[m - 1]}-{y}" for y, m in MONTHS],
    "1 Jan 2020": [f"1 {NAMES[m - 1]} {y}" for y, m in MONTHS],
    "2020Q1": [f"{y}Q{(m - 1) // 3 + 1}" for y, m in MONTHS],
    "2020-Q1": [f"{y}-Q{(m - 1) // 3 + 1}" for y, m in MONTHS],
    "Q1 2020": [f"Q{(m - 1) // 3 + 1} {y}" for y, m in MONTHS],
    "1/31/2020 9:30": [f"{m}/28/{y} 9:30" for y, m in MONTHS],
    "2020-W05": [f"{y}-W{m:02}" for y, m in MONTHS],
}


def notes(x, formula="y ~ x", **more):
    y = np.random.default_rng(0).normal(size=len(x))
    return sq.ols(formula, {"x": x, "y": y, **more}).as_dict()["notes"]


@pytest.mark.parametrize("way", WRITTEN)
def test_dates_as_text_are_noted(way):
    (note,) = notes(WRITTEN[way] * 2)
    assert note.startswith(f"The levels of x look like dates, such as {min(WRITTEN[way])!r}, and each is a category.")
    assert notes(WRITTEN[way] * 2, "y ~ C(x)") == []  # the formula says that they are categories


@pytest.mark.parametrize("form", FORMS)
def test_dates_are_noted_from_every_source(form, tmp_path):
    data = {"x": WRITTEN["2020M01"] * 2, "y": np.random.default_rng(0).normal(size=48)}
    fit = sq.ols("y ~ x", hand_over(form, data, tmp_path))
    assert "The levels of x look like dates, such as '2020M01'" in " ".join(str(fit.summary()).split())


def test_dates_as_numbers_are_noted():
    (note,) = notes([100 * y + m for y, m in MONTHS])
    assert note.startswith("The values of x look like dates, such as 202001, whose steps are not even.")
    (note,) = notes([10_000 * y + 100 * m + 28 for y, m in MONTHS])
    assert "such as 20200128" in note
    assert notes([y for y, _ in MONTHS]) == []
    assert notes(list(range(202_001, 202_025))) == []  # 202013 is not a month


def test_what_is_not_a_date():
    for text in (
        "2020",
        "may",
        "10-20",
        "A1",
        "Q1",
        "1.2.3",
        "12345-6789",
        "1/2",
        "18-25",
        "May Smith",
        "2020-13",
        "3M05",
        "B2020Q1",
    ):
        assert not is_date(text), text
    rng = np.random.default_rng(0)
    assert not any(are_dates(rng.integers(100_000, 999_999, 20).astype(float)) for _ in range(1000))


MARKED = {
    "temperature": (9999.9, [41.2, 50.0, 38.1, 60.7]),
    "wind": (999.9, [3.1, 5.0, 8.8, 0.0]),
    "rain": (-999.0, [0.0, 0.1, 2.0, 3.5]),
    "depth": (-9999.0, [-12.0, -30.5, 3.0, 4.0]),
    "income": (-99.0, [12_000.0, 0.0, 30_500.0, 7.0]),
}


@pytest.mark.parametrize("name", MARKED)
def test_marks_for_a_missing_value_are_noted(name):
    mark, others = MARKED[name]
    (note,) = notes(others * 5 + [mark] * 3)
    assert f"x is {mark:g} in 3 rows of the first 23, which looks like a mark for a missing value." in note
    assert f"where='x != {mark:g}'" in note
    (note,) = notes(list(range(23)), formula="`the x` ~ x", **{"the x": others * 5 + [mark] * 3})
    assert f"where='`the x` != {mark:g}'" in note
    fit = sq.ols("y ~ x", {"x": others * 5 + [mark] * 3, "y": list(range(23))}, where=f"x != {mark:g}")
    assert (fit.nobs, fit.as_dict()["notes"]) == (20, [])


def test_one_row_of_nines_below_zero_is_noted():
    assert find_mark(np.array([1.0, 2, 3, 4, -999])) == -999
    assert find_mark(np.array([1210.5, 395.75, 4750.5, -9999.0])) == -9999


def test_what_is_no_mark():
    for values in (
        [1.0, 2, 3, 4, -99],  # once
        [1.0, 2, 3, 4, 999],
        [1.0, -2, 3, 4, -999],
        [950.0, 970, 999, 999, 1010],  # among others
        [-120.0, -999, -999, -500, -800],
        [9.0, 9, 1, 2, 3],
        [0.0, 1, 0, 1, 99999, 99999],  # too few others to tell
        [98.0, 97, 99, 99, 95, 99],
    ):
        assert find_mark(np.array(values)) is None, values
    rng = np.random.default_rng(0)
    assert all(find_mark(rng.normal(0, 1000, 500).round()) is None for _ in range(500))


def test_levels_that_look_the_same_are_noted():
    pairs = {
        "a blank behind": ("usa", "usa "),
        "a blank before": ("usa", " usa"),
        "two blanks": ("New York", "New  York"),
        "a no-break space": ("New York", "New\xa0York"),
        "a composed letter": ("K\xf6ln", "Ko\u0308ln"),
        "a sign without width": ("usa", "\ufeffusa"),
    }
    for one, other in pairs.values():
        (note,) = notes([one, other, "rest", "more"] * 5)
        for level in (one, other):
            assert ascii(level) in note
        assert "differ only in blanks or in how their letters are stored" in note
        assert note in notes([one, other, "rest", "more"] * 5, "y ~ C(x)")
    assert notes(["usa", "USA", "Usa"] * 5) == []
    assert notes(["m2", "m\xb2", "x"] * 5) == []


def test_notes_survive_saving_and_merging(tmp_path):
    x = [3.0, 5.0, 4.0, 6.0, -999.0, -999.0, 7.0]
    fit = sq.ols("y ~ x", {"x": x, "y": [1.0, 2, 3, 4, 5, 6, 9]})
    fit.save(tmp_path / "fit.json")
    assert sq.load(tmp_path / "fit.json").as_dict()["notes"] == fit.as_dict()["notes"] != []
    other = sq.ols("y ~ x", {"x": [3.0, 5.0, 4.0, 6.5], "y": [1.0, 2, 3, 4]})
    assert other.merge(fit).as_dict()["notes"] == fit.as_dict()["notes"]


def test_training_notes_them_too():
    need("torch")
    run = sq.train("y ~ x", {"x": [3.0, 5.0, 4.0, 6.0, -999.0, -999.0, 7.0], "y": [1.0, 2, 3, 4, 5, 6, 9]}, epochs=1)
    assert any("looks like a mark for a missing value" in warning for warning in run.warnings)


def test_a_quote_that_makes_one_value_of_several_rows(tmp_path):
    rows = [f"{i},{i % 3 + i},{'abc'[i % 3]}" for i in range(30)]
    rows[9], rows[14] = '9,9,"a', '14,16,c"'  # two stray quotes: six rows become one
    path = tmp_path / "data.csv"
    path.write_text("\n".join(["x,y,g", *rows]) + "\n")
    fit = sq.ols("y ~ x + g", path)
    assert fit.nobs == 25
    (note,) = [note for note in fit.as_dict()["notes"] if "spans" in note]
    assert "of g spans 6 lines. If it has rows in it, the quote before it is a mistake in the file." in note
    assert len(note) < 400
    assert notes(["12 Main Street\nSpringfield", "b", "c"] * 5) == []  # an address
