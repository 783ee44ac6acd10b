"""What a checkup returns: its verdict, its page in every format, and the texts of each mistake."""

import json
import re

import pytest

from squarely.checkup import CONFIDENCES, Checkup, Finding, SourceLine
from squarely.checkup.mistakes.catalog import MISTAKES

KEYS = [  # the names that users may rely on
    "no-zero-grad", "step-before-backward", "zero-grad-before-step", "stale-gradient", "shape-broadcast",
    "optimizer-of-another-model", "state-carried-over", "sum-for-mean", "accumulation-not-divided", "double-step",
    "labels-misaligned", "not-shuffled", "rows-dropped", "rows-repeated", "mean-of-batch-means", "last-batch-loss",
    "loss-while-moving", "parameter-not-trained", "graph-detached", "lr-too-high", "lr-too-low", "not-standardised",
    "no-eval-mode", "no-train-mode", "grad-in-validation", "trains-on-validation", "graph-kept", "scheduler-per-batch",
    "scheduler-before-optimizer", "wrong-loss", "gradient-clipped", "backward-on-accumulated-loss", "undeclared-momentum",
    "undeclared-weight-decay", "weights-never-move", "nan-loss", "wrong-device-or-dtype", "random-state-fixed-per-epoch",
    "ranks-summed",
]  # fmt: skip
LINE = SourceLine(file="/somewhere/train.py", line=12, text="loss.backward()")
CERTAIN = Finding(key="no-zero-grad", confidence="certain", evidence="The gradient is 2.", numbers={"found": 2.0}, source=LINE)
POSSIBLE = Finding(key="lr-too-low", confidence="possible", evidence="Half is left.")
LIKELY = Finding(
    key="last-batch-loss", confidence="likely", evidence="0.4 of 5 rows.", effect="Another effect.", fix="Another fix."
)


def test_every_key_has_texts():
    assert sorted(MISTAKES) == sorted(KEYS)
    assert len(set(KEYS)) == 39
    assert len({mistake.title for mistake in MISTAKES.values()}) == 39


@pytest.mark.parametrize("key", KEYS)
def test_texts_are_short_sentences(key):
    mistake = MISTAKES[key]
    assert mistake.title[0].isupper() or mistake.title.startswith(("step()", "zero_grad()", "backward()"))
    assert not mistake.title.endswith(".")
    assert len(mistake.title) + len(key) <= 100
    sentence, *code = mistake.fix.split("\n")
    assert sentence.endswith(":")
    assert code
    assert all(line.startswith("    ") and len(line) < 100 for line in code)
    for text in (mistake.mark, mistake.effect, sentence):
        for part in re.split(r"(?<=[.:;]) ", text):
            assert len(part.split()) <= 25, part
    for text in (mistake.mark, mistake.effect):
        assert text.endswith(".")


def test_the_verdict_names_the_findings_in_their_order():
    checkup = Checkup(target="train", findings=(LIKELY, CERTAIN, POSSIBLE))
    assert tuple(finding.confidence for finding in (CERTAIN, LIKELY, POSSIBLE)) == CONFIDENCES
    assert not checkup.ok
    assert checkup.verdict == "3 findings in train: last-batch-loss (likely), no-zero-grad (certain), lr-too-low (possible)."


def test_a_possible_finding_is_ok():
    checkup = Checkup(target="train", findings=(POSSIBLE,), verified=("a", "b"))
    assert checkup.ok
    assert checkup.verdict == "1 finding in train, possible and not likely: lr-too-low. 2 checks hold."
    assert Checkup(target="train", findings=(), verified=("a",)).verdict == "No mistake found in train; 1 check holds."
    assert Checkup(target="train", findings=()).verdict == "No mistake found in train."


def test_a_finding_has_the_texts_of_its_key_unless_it_has_others():
    mistake = MISTAKES["no-zero-grad"]
    assert (CERTAIN.title, CERTAIN.effect, CERTAIN.fix) == (mistake.title, mistake.effect, mistake.fix)
    assert (LIKELY.effect, LIKELY.fix) == ("Another effect.", "Another fix.")
    assert LIKELY.title == MISTAKES["last-batch-loss"].title


@pytest.mark.parametrize(("key", "confidence"), [("no-such-key", "certain"), ("no-zero-grad", "sure")])
def test_unknown_names_are_errors(key, confidence):
    with pytest.raises(ValueError, match=f"{key}|{confidence}"):
        Finding(key=key, confidence=confidence, evidence="")


PAGE = """
                               Checkup of train
1 finding in train: no-zero-grad (certain).
==============================================================================
no-zero-grad (certain): The gradients are never cleared
Evidence  The gradient is 2.
Line      /somewhere/train.py, line 12:
              loss.backward()
Effect    Each step uses the sum of all gradients so far: e[k+1] = (2 - lr
          lam) e[k] - e[k-1]. The weights oscillate forever, at every learning
          rate.
Fix       Clear the gradients before each backward pass:
              optimizer.zero_grad()
              loss.backward()
              optimizer.step()
==============================================================================
Checks that hold
  Each row is used once.
==============================================================================
Remarks
  The optimizer has momentum.
==============================================================================
Output of the loop (2 lines)
      epoch 1
      epoch 2
==============================================================================
squarely help mistakes-in-loops shows each mistake with a loop that makes it.
"""


def full():
    return Checkup(
        target="train",
        findings=(CERTAIN,),
        verified=("Each row is used once.",),
        remarks=("The optimizer has momentum.",),
        output="epoch 1\n\nepoch 2\n",
    )


def test_the_page_as_text():
    checkup = full()
    assert checkup.summary().as_text() == PAGE.strip("\n")
    assert str(checkup) == repr(checkup) == repr(checkup.summary())
    for width in (60, 80, 120):
        assert max(map(len, checkup.summary().as_text(width).splitlines())) <= width


def test_the_page_in_other_formats():
    page = full().summary()
    html = full()._repr_html_()
    assert "<h4>no-zero-grad (certain): The gradients are never cleared</h4>" in html
    assert re.search(r"<code[^>]*>    loss.backward\(\)</code>", html)
    assert "#### no-zero-grad (certain): The gradients are never cleared" in page.as_markdown()
    assert "\n\n    loss.backward()\n\n" in page.as_markdown()  # an indented block is code
    assert r"\texttt{~~~~optimizer.zero\_grad()}\par" in page.as_latex()
    assert page.as_csv().splitlines()[2] == "no-zero-grad (certain): The gradients are never cleared"
    assert '\n"",loss.backward()\n' in page.as_csv() or "\n,loss.backward()\n" in page.as_csv()


def test_numbers_for_programs():
    numbers = json.loads(json.dumps(full().as_dict()))
    assert numbers["target"] == "train"
    assert numbers["ok"] is False
    assert numbers["findings"][0]["key"] == "no-zero-grad"
    assert numbers["findings"][0]["numbers"] == {"found": 2.0}
    assert numbers["findings"][0]["source"] == {"file": "/somewhere/train.py", "line": 12, "text": "loss.backward()"}
    assert numbers["verified"] == ["Each row is used once."]
    assert numbers["output"] == "epoch 1\n\nepoch 2\n"


def test_what_users_write_is_made_safe():
    line = SourceLine(file="/a/<b>\x1b[31m.py", line=1, text="x = '<script>\x1b]0;title\x07' # \u202e $x$")
    finding = Finding(key="no-zero-grad", confidence="certain", evidence="<i>\x1b[2J", source=line)
    checkup = Checkup(target="<b>\x1b[0m", findings=(finding,), remarks=("\x07",), output="\x1b[31mred\rover\x00\n<td>")
    for text in (str(checkup), checkup.summary().as_markdown(), checkup.summary().as_latex(), checkup.summary().as_csv()):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", text)
    html = checkup._repr_html_()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", html)
    assert "<script>" not in html
    assert "<b>" not in html
    assert "$" not in html


def test_only_the_end_of_a_long_output_is_shown():
    checkup = Checkup(target="train", findings=(CERTAIN,), output="".join(f"epoch {i}\n" for i in range(1000)))
    text = str(checkup)
    assert "Output of the loop (last 10 of 1,000 lines)" in text
    assert "epoch 990\n" in text
    assert "epoch 989\n" not in text


def test_a_line_of_a_notebook_cell_has_no_path():
    source = SourceLine(file="/tmp/ipykernel_81/277.py", line=3, text="loss.backward()")  # noqa: S108
    finding = Finding(key="no-zero-grad", confidence="certain", evidence="", source=source)
    assert "Line      line 3 of a notebook cell:" in str(Checkup(target="train", findings=(finding,)))


def test_a_path_below_the_current_folder_is_short(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = SourceLine(file=str(tmp_path / "steps" / "train.py"), line=3, text="loss.backward()")
    finding = Finding(key="no-zero-grad", confidence="certain", evidence="", source=source)
    assert "Line      steps/train.py, line 3:" in str(Checkup(target="train", findings=(finding,)))
