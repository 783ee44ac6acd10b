"""Training loops in the styles that people write: each mistake is named, and right loops stay right."""

import importlib
import pkgutil
import warnings
from pathlib import Path

import pytest

from tests.checkup import loops
from tests.support.checks import need
from tests.support.training_loops import LOOPS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # those of other libraries, when they are imported
    for library in ("torch", "lightning", "skorch", "ignite"):
        need(library)
    for _module in pkgutil.walk_packages(loops.__path__, f"{loops.__name__}."):
        importlib.import_module(_module.name)
    from squarely.checkup import examine

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.py"))
EVERY = 9  # make test runs each ninth loop; make test-all runs them all
UNNAMED = {  # loops whose mistake is not the first or second finding
    "step_order.manual_updates",  # the gradient, by a formula, is computed once before the loop: there is one forward pass
    "ranks.gradient_by_hand_on_two_ranks",  # the gradient is computed by a formula, and then summed over processes
    "last_rows_left_out",  # a script slices rows off before anything is recorded
    "shuffled_apart",  # a script permutes inputs and targets apart before anything is recorded
}
DOUBTED: set[str] = set()  # right loops with a finding above "possible"


def cases(entries):
    """Return parameters with marks: most wait for make test-all, and known misses fail."""
    found = []
    for number, (name, *values) in enumerate(entries):
        marks = [] if number % EVERY == 0 else [pytest.mark.process_group]
        if name in UNNAMED | DOUBTED:
            marks.append(pytest.mark.xfail(strict=True))
        found.append(pytest.param(*values, id=name, marks=marks))
    return found


def describe(checkup):
    return "\n".join(f"{finding.key} {finding.confidence}: {finding.evidence}" for finding in checkup.findings)


@pytest.mark.parametrize("loop", cases((loop.name, loop) for loop in LOOPS if loop.keys))
def test_the_mistake_is_named(loop):
    checkup = examine(loop.target, fixtures=loop.fixtures)
    assert {finding.key for finding in checkup.findings[:2]} & set(loop.keys), describe(checkup)


@pytest.mark.parametrize("loop", cases((loop.name, loop) for loop in LOOPS if not loop.keys))
def test_a_right_loop_stays_right(loop):
    checkup = examine(loop.target, fixtures=loop.fixtures)
    assert checkup.ok, describe(checkup)
    assert not any("could not be read" in remark for remark in checkup.remarks), checkup.remarks


@pytest.mark.parametrize("script", cases((path.stem, path) for path in SCRIPTS))
def test_a_script(script):
    first = script.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
    checkup = examine(str(script))
    if first == "right":
        assert checkup.ok, describe(checkup)
    else:
        keys = {key.strip() for key in first.removeprefix("key:").split(",")}
        assert {finding.key for finding in checkup.findings[:2]} & keys, describe(checkup)


def test_nearly_every_mistake_is_named():
    """The issue asks for 95 of 100; a loop that is not named stays in the list above."""
    broken = sum(bool(loop.keys) for loop in LOOPS) + sum("# right" not in path.read_text(encoding="utf-8")[:9] for path in SCRIPTS)
    assert len(UNNAMED) <= 0.05 * broken
    assert len(DOUBTED) <= 0.02 * len(LOOPS)
