"""Every kind of training loop is called with fixtures, and what cannot be called ends in one clear error."""

import asyncio
import functools
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.checks import need

torch = need("torch")

from squarely.checkup.fixtures.objects import make_objects, set_seeds
from squarely.checkup.fixtures.targets import load_target
from squarely.checkup.problem import make_problem
from squarely.checkup.runner.same_process import restored_interpreter
from squarely.errors import InputError

PROBLEM = make_problem()


def descend(model, X, y, optimizer, epochs):
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(X), y)
        loss.backward()
        optimizer.step()
    return loss.item()


def descent_by_numpy():
    """Return the last loss of `descend`, by the gradient written out."""
    linear = make_objects(PROBLEM)["model"]
    w, b = linear.weight.detach().double().numpy()[0], linear.bias.item()
    for _ in range(PROBLEM.epochs):
        residual = PROBLEM.X @ w + b - PROBLEM.y
        w = w - PROBLEM.lr * 2 / len(PROBLEM.y) * PROBLEM.X.T @ residual
        b = b - PROBLEM.lr * 2 * residual.mean()
    return np.mean(residual**2)


class WithFit:
    """`fit` goes on from where it is."""

    def __init__(self, lr, momentum=0.25):
        self.model, self.calls = torch.nn.Linear(3, 1), 0
        self.lr, self.momentum = lr, momentum

    def fit(self, X, y, n_epochs):
        self.calls += 1
        descend(self.model, X, y, torch.optim.SGD(self.model.parameters(), lr=self.lr), n_epochs)
        return self

    def learn(self, X, y):
        return self.fit(X, y, 1)


class AnyFit:
    def fit(self, *args, **kwargs):
        return [each.shape for each in args], kwargs


class CallableTrainer:
    def __init__(self):
        self.calls = 0

    def __call__(self, model, X, y, optimizer):
        self.calls += 1
        return self.calls


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def of_loader(loader, lr):
    return loader.batch_size, lr


def call(spec, **options):
    call = load_target(spec).call(make_objects(PROBLEM), **options)
    assert call.error is None, call.error
    return call


def test_a_function():
    target = load_target(descend)
    assert (target.name, target.kind, target.file) == ("descend", "function", __file__)
    assert target.parameters == dict.fromkeys(("model", "X", "y", "optimizer", "epochs"), False)
    found = target.call(make_objects(PROBLEM))
    assert found.error is None
    assert found.arguments["epochs"] == PROBLEM.epochs
    np.testing.assert_allclose(found.returned, descent_by_numpy(), rtol=1e-5)  # float32


@pytest.mark.parametrize(
    "function",
    [
        lambda model, X, y, optimizer, epochs: descend(model, X, y, optimizer, epochs),
        functools.partial(descend, epochs=PROBLEM.epochs),
        decorated(descend),
        staticmethod(descend),
    ],
    ids=["lambda", "partial", "decorated", "static"],
)
def test_other_functions(function):
    np.testing.assert_allclose(call(function).returned, descent_by_numpy(), rtol=1e-5)


def test_the_name_of_a_lambda_and_of_a_partial():
    assert load_target(lambda X: X).name == "<lambda>"
    assert load_target(functools.partial(descend, epochs=1)).name == "descend"
    assert load_target(WithFit(1.0).learn).name == "WithFit.learn"


def test_a_method_starts_from_its_object_in_every_fresh_call():
    owner = WithFit(lr=0.1)
    target, objects = load_target(owner.learn), make_objects(PROBLEM)
    assert [target.call(objects, fresh=fresh).returned.calls for fresh in (True, True, False, False, True)] == [1, 1, 2, 3, 1]
    assert owner.calls == 0


def test_a_callable_object_starts_as_it_is_in_every_fresh_call():
    owner = CallableTrainer()
    target, objects = load_target(owner), make_objects(PROBLEM)
    assert [target.call(objects, fresh=fresh).returned for fresh in (True, True, False)] == [1, 1, 2]
    assert (owner.calls, target.name) == (0, "CallableTrainer")


def test_values_of_a_partial_are_copied():
    model = torch.nn.Linear(3, 1)
    before = model.weight.clone()
    bound = functools.partial(
        lambda net, X, y, epochs: descend(net, X, y, torch.optim.SGD(net.parameters(), lr=0.1), epochs), model
    )
    target, objects = load_target(bound), make_objects(PROBLEM)
    first, second = (target.call(objects).returned for _ in range(2))
    assert first == second > 0
    assert torch.equal(model.weight, before)


@pytest.mark.parametrize("spec", [WithFit, WithFit(lr=PROBLEM.lr)], ids=["class", "instance"])
def test_a_class_with_fit(spec):
    target, objects = load_target(spec), make_objects(PROBLEM)
    assert (target.name, target.kind, target.file) == ("WithFit.fit", "fit", __file__)
    one, two, again = (target.call(objects, fresh=fresh) for fresh in (True, True, False))
    assert one.returned is not two.returned
    assert two.returned is again.returned
    assert (one.returned.calls, again.returned.calls) == (1, 2)
    assert one.settings["epochs"] == PROBLEM.epochs
    assert one.returned.lr == PROBLEM.lr
    if isinstance(spec, type):
        assert one.settings["lr"] == PROBLEM.lr
        assert one.arguments["momentum"] == 0.25  # a default of the constructor


def test_a_fit_without_names_gets_X_and_y():
    assert call(AnyFit()).returned == ([(107, 3), (107, 1)], {})


class AnyConstructor:
    def __init__(self, *args, **options):
        self.options = options

    def fit(self, X, y):
        return self.options


def test_a_constructor_of_any_options_gets_none_and_those_of_the_user():
    assert call(AnyConstructor).returned == {}
    target = load_target(AnyConstructor, {"hidden": 3})
    assert target.call(make_objects(PROBLEM, {"hidden": 3})).returned == {"hidden": 3}


def test_a_fit_of_scikit_learn():
    linear_model = need("sklearn.linear_model")
    fitted = load_target(linear_model.LinearRegression()).call(make_objects(make_problem(as_numpy=True, target_ndim=1))).returned
    X = np.column_stack([np.ones(107), PROBLEM.X])
    np.testing.assert_allclose(fitted.coef_, np.linalg.lstsq(X, PROBLEM.y)[0][1:], rtol=1e-4)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder of the user, in which what a text names is found."""
    with restored_interpreter():
        monkeypatch.chdir(tmp_path)
        yield tmp_path
    assert str(tmp_path) not in sys.path


SOURCE = """
import torch
from helper_of_train import LR

def train(model, X, y, criterion, epochs=3):
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = criterion(model(X), y)
        loss.backward()
        optimizer.step()
    return loss.item()

class Trainer:
    def fit(self, X, y):
        return "fitted"

if __name__ == "__main__":
    import sys
    print("as a script", sys.argv[0])
    result = train(torch.nn.Linear(3, 1), torch.ones(5, 3), torch.ones(5, 1), torch.nn.MSELoss())
"""


@pytest.fixture
def mine(elsewhere):
    (elsewhere / "pack").mkdir()
    (elsewhere / "pack" / "helper_of_train.py").write_text("LR = 0.1")
    (elsewhere / "helper_of_train.py").write_text("LR = 0.1")
    (elsewhere / "pack" / "my_train.py").write_text(SOURCE)
    return elsewhere


def test_a_text_names_a_function_of_a_module_or_of_a_file(mine):
    for spec in ("pack.my_train:train", "pack/my_train.py:train"):
        target = load_target(spec)
        assert (target.kind, target.name) == ("function", "train")
        assert Path(target.file) == mine / "pack" / "my_train.py"
        found = target.call(make_objects(PROBLEM))
        assert found.error is None
        assert 0 < found.returned < 10
    assert load_target("pack.my_train:Trainer").call(make_objects(PROBLEM)).returned == "fitted"


def test_a_module_reads_no_arguments_of_ours(elsewhere, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["squarely", "checkup", "reads_arguments.py:train"])
    Path("reads_arguments.py").write_text(
        "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--lr', default=0.3)\n"
        "arguments = parser.parse_args()\ndef train(X):\n    return arguments.lr"
    )
    assert call("reads_arguments.py:train").returned == 0.3


def test_a_script_runs_as_main_in_its_folder(mine, capsys):
    for spec in ("pack/my_train.py", Path("pack", "my_train.py")):
        target = load_target(spec)
        assert (target.kind, target.name) == ("script", str(spec))
        found = target.call(make_objects(PROBLEM))
        assert found.error is None
        assert found.returned["result"] > 0
        assert Path.cwd() == mine / "pack"
        assert capsys.readouterr().out == f"as a script {mine / 'pack' / 'my_train.py'}\n"
        os.chdir(mine)


def test_a_script_may_end_with_sys_exit(elsewhere):
    Path("ends.py").write_text("import sys\nsys.exit(0)")
    Path("fails.py").write_text("import sys\nsys.exit('no data')")
    assert load_target("ends.py").call({}).error is None
    error = load_target("fails.py").call({}).error
    assert str(error) == "fails.py calls sys.exit('no data'). Let it return instead."
    assert isinstance(error.__cause__, SystemExit)


@pytest.mark.filterwarnings("ignore")  # Lightning's advice on workers
def test_a_lightning_module():
    lightning = need("lightning.pytorch")

    class Linear(lightning.LightningModule):
        def __init__(self, lr=0.1):
            super().__init__()
            self.model, self.lr, self.validated = torch.nn.Linear(3, 1), lr, 0

        def training_step(self, batch, index):
            return torch.nn.functional.mse_loss(self.model(batch[0]), batch[1])

        def validation_step(self, batch, index):
            self.validated += 1

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=self.lr)

    before = {*Path.cwd().iterdir()}
    for spec in (Linear, Linear()):
        target = load_target(spec)
        assert target.kind == "lightning"
        set_seeds(0)
        found = target.call(make_objects(PROBLEM))
        assert found.error is None, found.error
        assert found.settings["epochs"] == PROBLEM.epochs
        assert found.returned.validated == 2 * PROBLEM.epochs  # 27 rows are two batches
        X = np.column_stack([PROBLEM.X, np.ones(107)])
        best = np.linalg.lstsq(X, PROBLEM.y)[0]
        learned = [*found.returned.model.weight[0].tolist(), found.returned.model.bias.item()]
        np.testing.assert_allclose(learned, best, atol=0.05)  # mini-batches at lr 0.1
    assert found.returned is not spec
    assert {*Path.cwd().iterdir()} == before


@pytest.mark.parametrize("as_class", [True, False])
def test_a_skorch_net(as_class):
    skorch = need("skorch")
    net = skorch.NeuralNetRegressor(torch.nn.Linear, module__in_features=3, module__out_features=1, max_epochs=4, lr=0.1, verbose=0)
    target = load_target(skorch.NeuralNetRegressor if as_class else net)
    assert target.kind == "skorch"
    one, two = (target.call(make_objects(PROBLEM)) for _ in range(2))
    assert one.error is None, one.error
    assert one.returned is not two.returned
    assert one.settings["epochs"] == len(one.returned.history) == (10 if as_class else 4)
    assert one.returned.history[-1, "train_loss"] < one.returned.history[0, "train_loss"]
    assert not hasattr(net, "module_")


def with_group(model, rank, world_size):
    return rank, world_size


def reduces(model):
    average(model)


def average(model):
    from torch import distributed as dist

    for parameter in model.parameters():
        dist.all_reduce(parameter.grad)


def starts(model):
    torch.distributed.init_process_group("gloo")


def spawns(model):
    torch.multiprocessing.spawn(reduces, nprocs=2)


def converts(X, y):
    return torch.from_numpy(X)


def test_a_helper_in_another_file_of_the_user_counts(elsewhere):
    Path("groups_of_mine.py").write_text("import torch\ndef setup():\n    torch.distributed.init_process_group('gloo')")
    Path("loop_of_mine.py").write_text("import groups_of_mine as groups\ndef train(model):\n    groups.setup()")
    Path("other_loop_of_mine.py").write_text("from groups_of_mine import setup\ndef train(model):\n    setup()")
    for name in ("loop_of_mine", "other_loop_of_mine"):
        target = load_target(f"{name}:train")
        assert target.wants_processes
        assert target.starts_group


def test_which_calls_have_a_copy_of_an_object():
    objects = [WithFit(1.0), WithFit(1.0).learn, functools.partial(descend, epochs=1), CallableTrainer()]
    assert [load_target(each).is_object for each in objects] == [True] * 4
    assert not any(load_target(each).is_object for each in (WithFit, descend, lambda X: X))


def test_an_estimator_of_scikit_learn_gets_arrays():
    pipeline = need("sklearn.pipeline")
    assert load_target(pipeline.Pipeline([])).wants_numpy
    assert not load_target(WithFit).wants_numpy


def test_which_loops_are_for_several_processes():
    wanted = {each.__name__: load_target(each).wants_processes for each in (with_group, reduces, starts, spawns, descend)}
    assert load_target(spawns).starts_processes
    assert not load_target(with_group).starts_processes
    assert wanted == {"with_group": True, "reduces": True, "starts": True, "spawns": False, "descend": False}
    assert load_target(starts).starts_group
    assert not load_target(reduces).starts_group
    assert load_target(converts).wants_numpy
    assert not load_target(descend).wants_numpy


# Bad input


def misspelled(modle, X):
    pass


def of_writer(X, writer):
    pass


def only_keywords(**options):
    pass


def only_positions(*rows):
    pass


async def is_async(X, y):
    pass


def is_generator(loader):
    yield loader


async def is_async_generator(loader):
    yield loader


class Model(torch.nn.Module):
    pass


class NoFit:
    def run_training(self, X, y):
        pass


class NothingAtAll:
    pass


class NeedsMore:
    def __init__(self, hidden):
        pass

    def fit(self, X, y):
        pass


class AsyncFit:
    async def fit(self, X, y):
        pass


BAD = {
    "a misspelled parameter": (misspelled, "misspelled() needs 'modle', and a checkup has nothing of this name; it unders"),
    "a misspelled parameter, suggestion": (misspelled, "Did you mean 'model'? Give its value with fixtures={'modle': ...}"),
    "a parameter without a fixture": (of_writer, "Give its value with fixtures={'writer': ...}, or give the parameter a"),
    "only **kwargs": (only_keywords, "only_keywords(**options) does not say what it needs: its parameters have no names."),
    "only *args": (only_positions, "only_positions(*rows) does not say what it needs"),
    "async": (is_async, "is_async is async; nothing runs until it is awaited. Give a plain function"),
    "a generator": (is_generator, "is_generator is a generator; nothing runs until it is iterated. Give a function"),
    "an async generator": (is_async_generator, "nothing runs until it is iterated"),
    "an async fit": (AsyncFit, "AsyncFit.fit is async"),
    "a built-in": (print, "print is a built-in function of Python and not a training loop."),
    "a model class": (Model, "Model is a model and does not train itself. Give the function that trains it, or a class with"),
    "a model": (torch.nn.Linear(3, 1), "Linear is a model and does not train itself."),
    "a class without fit": (NoFit, "NoFit has no method fit(X, y). Give the method NoFit(...).run_training, or"),
    "an object without fit": (NothingAtAll(), "NothingAtAll has no method fit(X, y). Give the function or the method that trains."),
    "a constructor that needs more": (NeedsMore, "NeedsMore() needs 'hidden'"),
    "a method of a class": (NoFit.run_training, "NoFit.run_training is a method without its object. Give that of an object, as in"),
    "a number": (3, "3 is not a training loop: it cannot be called."),
    "None": (None, "None is not a training loop"),
    "a partial that does not fit": (functools.partial(descend, lr=3), "descend() does not take the arguments of its partial."),
    "no colon": ("mymodule", "'mymodule' does not name a function. Write the module, a colon and the function"),
    "no colon but a dot": ("pack.mymodule.train", "such as 'pack.mymodule:train', or the path of a script, such as 'train.py'."),
    "a notebook": ("train.ipynb", "A notebook cannot be called: pass the function itself"),
    "a module": (os, "os is a module. Give the function in it that trains, such as os.train."),
    "a path without .py": ("./train:main", "'./train:main' does not name a function. Write the module, a colon and"),
    "a relative module": ("..train:main", "'..train:main' does not name a function."),
    "no place": (":train", "':train' does not name a function."),
    "empty text": ("", "'' does not name a function."),
    "no module": ("no_such_module_here:train", "There is no module 'no_such_module_here', neither in the current folder nor"),
    "no sub-module": ("json.no_such:train", "There is no module 'json.no_such'"),
    "no such name": ("json:dump5", "json has no 'dump5'. Did you mean 'dump'?"),
    "no such method": ("json:JSONDecoder.decod", "json has no 'JSONDecoder.decod'. Did you mean 'decode'?"),
    "no script": ("absent.py", "There is no script 'absent.py'. Give its path from the current folder."),
}  # fmt: skip


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    spec, says = BAD[name]
    with pytest.raises(InputError) as caught:
        load_target(spec)
    assert says in str(caught.value)


FILES = {
    "breaks.py": ("import json\n\nvalue = json.loads('{')\n", "cannot be imported: JSONDecodeError: "),
    "needs.py": ("import torch\nimport no_such_package\n", "ModuleNotFoundError: No module named 'no_such_package', "
                 "at line 2 of needs.py: import no_such_package. Correct this first"),
    "leaves.py": ("import sys\nsys.exit(1)\n", "cannot be imported: SystemExit: 1, at line 2 of leaves.py: sys.exit(1)."),
    "colon.py": ("def train(model)\n    pass\n", ": expected ':' at line 1 of colon.py: def train(model). Correct"),
    "relative.py": ("from . import other\n", "relative"),
    "fine.py": ("def train_model(X): pass\ntrain_it = 3\n", "has no 'train'. Did you mean 'train_model'?"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("colon", [".py:", ":"])
@pytest.mark.usefixtures("elsewhere")
def test_a_module_that_cannot_be_imported(name, colon):
    content, says = FILES[name]
    Path(name).write_text(content)
    modules = {*sys.modules}
    with pytest.raises(InputError) as caught:
        load_target(f"{Path(name).stem}{colon}train")
    assert says in str(caught.value)
    assert {*sys.modules} - modules <= {"fine"}


def test_a_part_of_a_package_is_named_as_a_module(elsewhere):
    Path("part.py").write_text("from .other import train")
    with pytest.raises(InputError) as caught:
        load_target("part.py:train")
    assert str(caught.value) == (
        "part.py has relative imports, so it is part of a package. Name it as a module, such as 'mypackage.part:train'."
    )


def test_a_file_with_the_name_of_a_module_does_not_replace_it(elsewhere):
    import random

    Path("random.py").write_text("def train(X): return 7")
    assert call("random.py:train").returned == 7
    assert sys.modules["random"] is random


def test_the_line_of_the_user_and_not_of_the_library_is_named(elsewhere):
    Path("breaks.py").write_text(FILES["breaks.py"][0])
    with pytest.raises(InputError, match=r"at line 3 of breaks.py: value = json.loads\('\{'\)"):
        load_target("breaks:train")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            b"for i in range(3)\n    pass\n",
            "bad.py is not valid Python: expected ':' at line 1 of bad.py: for i in range(3). Correct",
        ),
        (b"x = '\xff'\n", "bad.py is not valid Python"),
        (b"x = 1\0\n", "bad.py"),
    ],
)
def test_a_script_that_is_not_python(content, says, elsewhere):
    Path("bad.py").write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_target("bad.py")
    assert says in str(caught.value)


def test_a_script_with_a_near_name_is_suggested(elsewhere):
    Path("train.py").write_text("")
    with pytest.raises(InputError, match=r"There is no script 'tran.py'. Did you mean 'train.py'\?"):
        load_target("tran.py")
    with pytest.raises(InputError, match=r"'./train:main' does not name a function. Did you mean './train.py:main'\?"):
        load_target("./train:main")
    with pytest.raises(InputError, match=r"There is no module 'tran'.* Did you mean 'train'\?"):
        load_target("tran:main")


@pytest.mark.parametrize(
    ("fixtures", "says"),
    [
        ({"modl": 3}, "fixtures= has 'modl', and descend() has no such parameter. Did you mean 'model'?"),
        ({"loader": 3}, "fixtures= has 'loader', and descend() has no such parameter. Its parameters are 'model', 'X', 'y',"),
        ([1], "fixtures=[1] is not a dict of names."),
        ({1: 2}, "fixtures={1: 2} is not a dict of names."),
    ],
)
def test_fixtures_that_nothing_takes(fixtures, says):
    with pytest.raises(InputError) as caught:
        load_target(descend, fixtures)
    assert says in str(caught.value)


def test_fixtures_of_a_script(elsewhere):
    Path("train.py").write_text("")
    with pytest.raises(InputError, match=r"fixtures= has 'lr', and train.py has no such parameter\. It has none\."):
        load_target("train.py", {"lr": 3})


def raises(model):
    raise ValueError("mine")


def leaves(model):
    sys.exit(3)


def asks(model):
    raise EOFError


def stops(model):
    import bdb

    raise bdb.BdbQuit


def returns_a_coroutine(model):
    return is_async(model, model)


def returns_a_generator(loader):
    return (each for each in loader)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (raises, "mine"),
        (leaves, "leaves calls sys.exit(3). Let it return instead."),
        (asks, "asks reads standard input, and there is none in a checkup. Give the value as an argument."),
        (stops, "stops stops in a debugger, as breakpoint() does, and there is no terminal in a checkup. Remove that line."),
        (returns_a_coroutine, "returns_a_coroutine is async; nothing runs until it is awaited."),
        (returns_a_generator, "returns_a_generator is a generator; nothing runs until it is iterated."),
    ],
)
def test_what_a_loop_raises_is_in_the_result(function, says):
    found = load_target(function).call(make_objects(PROBLEM))
    assert says in str(found.error)
    assert found.returned is None or function is not raises
    assert [*found.arguments] == [*load_target(function).parameters]


def test_a_keyboard_interrupt_passes_through():
    def interrupted(model):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_target(interrupted).call(make_objects(PROBLEM))


def test_an_async_loop_in_a_plain_function():
    assert call(lambda X, y: asyncio.run(is_async(X, y))).returned is None
