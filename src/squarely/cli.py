"""The command line: it turns words into calls of `api` and results into text or JSON, and knows the exit codes.

0 done; 1 a numerical "no" (diverged, not converged, disagree); 2 bad input; 3 another process of torchrun's has ended;
130 interrupted, 143 terminated.
"""

from __future__ import annotations

import io
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import numpy as np
import typer

import squarely
from squarely.errors import NumericalError, OptionError, ProcessError, SquarelyError

if TYPE_CHECKING:
    from squarely.show import Page

_INTERRUPTED, _TERMINATED = 130, 143  # as a shell has them
_PAUSE = 1.0  # seconds
_SOON = 0.05  # seconds: long enough for a finaliser to be over

app = typer.Typer(
    name="squarely",
    help="Linear regression by two independent roads, exact and trained, and how far apart they are.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

FormulaText = Annotated[
    str, typer.Argument(help="Such as 'mpg ~ displacement * C(origin)'; docs/formulas.md has the language.", metavar="FORMULA")
]
DataPath = Annotated[
    str,
    typer.Argument(
        help="A CSV, Parquet, Arrow or JSON lines file; or several: a folder, or a pattern in quotes, such as 'data/*.csv'.",
        metavar="DATA",
    ),
]
Where = Annotated[str | None, typer.Option("--where", help="Use the rows that meet this, such as 'weight > 3000'.")]
Missing = Annotated[str, typer.Option("--missing", help="Rows with gaps: drop (and count) or raise.")]
Json = Annotated[bool, typer.Option("--json", help="Print every number as JSON.")]
Lr = Annotated[str, typer.Option("--lr", help="Learning rate, or auto.")]
Epochs = Annotated[int, typer.Option("--epochs", help="Passes over the rows.")]
BatchSize = Annotated[int | None, typer.Option("--batch-size", help="Rows in a step; all of them without it.")]
Loss = Annotated[str, typer.Option("--loss", help="mse, l1, huber or quantile.")]
Optimizer = Annotated[str, typer.Option("--optimizer", help="One of torch's by name: sgd, adam, adamw, lbfgs, ...")]
WeightDecay = Annotated[float | None, typer.Option("--weight-decay", help="Of the optimiser.")]
Average = Annotated[int | None, typer.Option("--average", help="Average the iterates from this epoch on.")]
Stop = Annotated[str | None, typer.Option("--stop", help="'0.01 se' from the optimum, loss, or validation.")]
Engine = Annotated[str, typer.Option("--engine", help="rows, moments or closed_form.")]
Gradient = Annotated[str, typer.Option("--gradient", help="autograd, or closed: written out.")]
Momentum = Annotated[float, typer.Option("--momentum", help="Of sgd, in [0, 1).")]
Nesterov = Annotated[bool, typer.Option("--nesterov", help="Nesterov's form of momentum.")]
Dtype = Annotated[str, typer.Option("--dtype", help="float32 or float64.")]
Seed = Annotated[int, typer.Option("--seed", help="Of the random start.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda:0, ...")]
Tau = Annotated[float, typer.Option("--tau", help="Tolerance, in standard errors.")]


def _version(wanted: bool) -> None:
    if wanted:
        _print(f"squarely {squarely.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Linear regression by two independent roads, exact and trained, and how far apart they are."""
    if _processes() > 1 and context.invoked_subcommand != "train":
        raise OptionError(
            f"squarely {context.invoked_subcommand} runs in one process, and there are {_processes()} of them. Start it without "
            "torchrun; squarely train is what several processes can share."
        )


def _processes() -> int:
    """Tell how many processes torchrun has started."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def _is_first() -> bool:
    """Tell whether this process is the one that prints."""
    return _processes() == 1 or int(os.environ["RANK"]) == 0


def _together(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command of several processes, which torchrun has started, run as one."""

    @wraps(command)
    def run(*words: Any, **options: Any) -> None:
        if _processes() == 1:
            return command(*words, **options)
        from squarely.descent import launched, team

        with launched(options["device"]):
            try:
                return command(*words, **options)
            except SquarelyError as error:
                if error.lonely:
                    raise
                _say(error)
                team().meet()  # all have met it, and torchrun ends the first one, said or not, as soon as another has ended
                raise typer.Exit(_code_of(error)) from error

    return run


@contextmanager
def _watched() -> Iterator[None]:
    """Show on a terminal how far a command has read its rows; what that takes is imported when a command runs, not before."""
    with squarely.progress():
        yield


@app.command(epilog="Example: squarely demo --out squarely-demo")
def demo(
    out: Annotated[Path, typer.Option("--out", help="The folder for the figures.")] = Path("squarely-demo"),
    as_json: Json = False,
) -> None:
    """Tell the whole tutorial on the built-in cars.csv, with figures."""
    from squarely.demo import run_demo

    if as_json:
        with redirect_stdout(sys.stderr):
            numbers = run_demo(out)
        _print_json(numbers)
    else:
        numbers = run_demo(out)
    if not numbers["certify"]["agree"]:
        raise typer.Exit(1)


@app.command(epilog="Example: squarely ols 'mpg ~ displacement + weight' cars.csv")
@_watched()
def ols(
    formula: FormulaText,
    data: DataPath,
    where: Where = None,
    missing: Missing = "drop",
    collinear: Annotated[str, typer.Option("--collinear", help="Columns that others span: drop or raise.")] = "drop",
    precision: Annotated[str, typer.Option("--precision", help="Of the refinement: auto, double or extended.")] = "auto",
    fold: Annotated[
        str, typer.Option("--fold", help="How rows are summed up: auto, batches, or aggregates in an engine.")
    ] = "auto",
    save: Annotated[Path | None, typer.Option("--save", help="Save the fit as JSON, for squarely predict.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Fit nothing: print what the fit would read and cost.")] = False,
    as_json: Json = False,
) -> None:
    """Fit by least squares and print the summary."""
    if dry_run and save is not None:
        raise OptionError("--dry-run fits nothing, so there is nothing to save. Leave out --dry-run or --save.")
    if dry_run:
        plan = squarely.preview(formula, data, where=where, precision=precision, fold=fold)
        _show(plan.as_dict() if as_json else plan.summary())
        return
    fit = squarely.ols(
        formula,
        data,
        where=where,
        missing=missing,
        collinear=collinear,
        precision=precision,
        fold=fold,
    )
    if save is not None:
        fit.save(save)
    _show(fit.as_dict() if as_json else fit.summary())


@app.command(
    epilog="Example: squarely ols 'mpg ~ weight' cars.csv --save fit.json; squarely predict fit.json new.csv -o out.parquet"
)
@_watched()
def predict(
    model: Annotated[Path, typer.Argument(help="A fit that ols --save has written.", metavar="FIT")],
    data: DataPath,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write .csv, .parquet, .arrow or .jsonl instead.")] = None,
    unseen: Annotated[str, typer.Option("--unseen", help="A level that the fit has not met: error, or nan.")] = "error",
    as_json: Json = False,
) -> None:
    """Predict new rows from a saved fit: one value a row, empty where a predictor is missing."""
    fit = squarely.load(model)
    if out is not None:
        rows = fit.write_predictions(data, out, unseen=unseen)
        _show({"rows": rows, "out": str(out)}) if as_json else _print(f"{rows:,} predictions written to {out}")
        return
    values = fit.predict(data, unseen=unseen).tolist()
    if as_json:
        _print_json({"predicted": values})
    else:
        _print("\n".join(["predicted", *("" if math.isnan(value) else repr(value) for value in values)]))


@app.command(epilog="Example: squarely merge 2023.json 2024.json -o all.json; squarely merge all.json --remove 2023.json")
def merge(
    models: Annotated[list[Path], typer.Argument(help="Fits that ols --save has written, or merge.", metavar="FIT...")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Save the merged fit as JSON.")] = None,
    remove: Annotated[list[Path] | None, typer.Option("--remove", help="A fit whose rows are taken out; give several.")] = None,
    as_json: Json = False,
) -> None:
    """Put saved fits of one formula together, as if all rows had been fitted at once, and print the summary."""
    fit = squarely.merge(map(squarely.load, models), remove=map(squarely.load, remove or []))
    if out is not None:
        fit.save(out)
    _show(fit.as_dict() if as_json else fit.summary())


@app.command(epilog="Example: squarely train 'mpg ~ displacement' cars.csv --lr 0.01 --epochs 1000")
@_together
@_watched()
def train(
    formula: FormulaText,
    data: DataPath,
    lr: Lr = "0.01",
    epochs: Epochs = 1000,
    batch_size: BatchSize = None,
    shuffle: Annotated[bool, typer.Option(help="Give each epoch an order of its own.")] = True,
    replacement: Annotated[bool, typer.Option("--replacement", help="Draw the rows of batches independently.")] = False,
    validation: Annotated[str | None, typer.Option("--validation", help="A share of the rows, or another file.")] = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Log mse, rmse, mae or r2 too; give several.")] = None,
    loss: Loss = "mse",
    delta: Annotated[float, typer.Option("--delta", help="Where huber turns linear, in standardised units.")] = 1.0,
    quantile: Annotated[float, typer.Option("--quantile", help="Which quantile, in (0, 1).")] = 0.5,
    optimizer: Optimizer = "sgd",
    momentum: Momentum = 0.0,
    nesterov: Nesterov = False,
    weight_decay: WeightDecay = None,
    optimizer_option: Annotated[list[str] | None, typer.Option("--optimizer-option", help="Such as betas=[0.8,0.9].")] = None,
    scheduler: Annotated[str | None, typer.Option("--scheduler", help="One of torch's by name, such as StepLR.")] = None,
    scheduler_option: Annotated[list[str] | None, typer.Option("--scheduler-option", help="Such as step_size=30.")] = None,
    scheduler_per: Annotated[str, typer.Option("--scheduler-per", help="It steps each epoch, or each batch.")] = "epoch",
    clip_grad_norm: Annotated[float | None, typer.Option("--clip-grad-norm", help="Longest gradient of a step.")] = None,
    average: Average = None,
    stop: Stop = None,
    patience: Annotated[int, typer.Option("--patience", help="Epochs without a gain that loss or validation wait.")] = 10,
    min_delta: Annotated[float, typer.Option("--min-delta", help="What counts as a gain.")] = 0.0,
    engine: Engine = "rows",
    gradient: Gradient = "autograd",
    stream: Annotated[bool | None, typer.Option(help="Read the rows anew each epoch, instead of holding them.")] = None,
    standardize: Annotated[bool, typer.Option(help="Standardise columns and response first.")] = True,
    dtype: Dtype = "float32",
    seed: Seed = 0,
    device: Device = "auto",
    where: Where = None,
    missing: Missing = "drop",
    save: Annotated[Path | None, typer.Option("--save", help="Keep the run in this folder as it goes, and on Ctrl-C.")] = None,
    checkpoint_every: Annotated[
        str | None, typer.Option("--checkpoint-every", help="How often: '30 s', '10 epochs' or '100 steps'; else 60 s.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Go on from the newest checkpoint in this folder, and keep the run there.")
    ] = None,
    code: Annotated[bool, typer.Option("--code", help="Print the plain PyTorch script of the run instead.")] = False,
    as_json: Json = False,
) -> None:
    """Train nn.Linear by gradient descent and print the run, with theory beside it."""
    run = squarely.train(
        formula,
        data,
        lr=_rate(lr),
        epochs=epochs,
        batch_size=batch_size,
        shuffle=shuffle,
        replacement=replacement,
        validation=_share_or_path(validation),
        metrics=metric or (),
        loss=loss,
        delta=delta,
        quantile=quantile,
        optimizer=optimizer,
        momentum=momentum,
        nesterov=nesterov,
        weight_decay=weight_decay,
        optimizer_options=_options("--optimizer-option", optimizer_option),
        scheduler=scheduler,
        scheduler_options=_options("--scheduler-option", scheduler_option),
        scheduler_per=scheduler_per,
        clip_grad_norm=clip_grad_norm,
        average=average,
        stop=stop,
        patience=patience,
        min_delta=min_delta,
        engine=engine,
        gradient=gradient,
        stream=stream,
        standardize=standardize,
        dtype=dtype,
        seed=seed,
        device=device,
        where=where,
        missing=missing,
        checkpoint=save,
        checkpoint_every=checkpoint_every,
        resume=False if resume is None else resume,
    )
    if code and not as_json:
        _print(run.code().rstrip("\n"))
    else:
        script = {"code": run.code()} if code else {}
        _show({**run.as_dict(), **script} if as_json else run.summary())
    run.require()


@app.command(epilog="Example: squarely sweep 'mpg ~ displacement' cars.csv --lr 0.01 --lr 0.001 --lr 0.0001")
@_watched()
def sweep(
    formula: FormulaText,
    data: DataPath,
    lr: Annotated[list[float], typer.Option("--lr", help="A learning rate; give several.")] = [0.01, 0.001, 0.0001],  # noqa: B006
    batch_size: Annotated[list[int] | None, typer.Option("--batch-size", help="Rows in a step; give several.")] = None,
    epochs: Epochs = 1000,
    optimizer: Optimizer = "sgd",
    momentum: Annotated[list[float], typer.Option("--momentum", help="Of sgd, in [0, 1); give several.")] = [0.0],  # noqa: B006
    nesterov: Nesterov = False,
    dtype: Dtype = "float32",
    seed: Annotated[list[int], typer.Option("--seed", help="Of the random start and the order of rows; give several.")] = [0],  # noqa: B006
    device: Device = "auto",
    where: Where = None,
    missing: Missing = "drop",
    as_json: Json = False,
) -> None:
    """Train once for each combination of learning rates, batch sizes, seeds and momenta, all at once, and compare."""
    result = squarely.sweep(
        formula,
        data,
        lr=lr,
        batch_size=batch_size,
        epochs=epochs,
        optimizer=optimizer,
        momentum=momentum,
        nesterov=nesterov,
        dtype=dtype,
        seed=seed,
        device=device,
        where=where,
        missing=missing,
    )
    _show(result.as_dict() if as_json else result.summary())
    result.best.require()


@app.command(epilog="Example: squarely certify 'mpg ~ displacement' cars.csv --tau 0.01")
@_watched()
def certify(
    formula: FormulaText,
    data: DataPath,
    lr: Lr = "0.01",
    epochs: Epochs = 1000,
    batch_size: BatchSize = None,
    loss: Loss = "mse",
    optimizer: Optimizer = "sgd",
    momentum: Momentum = 0.0,
    nesterov: Nesterov = False,
    weight_decay: WeightDecay = None,
    average: Average = None,
    stop: Stop = None,
    engine: Engine = "rows",
    gradient: Gradient = "autograd",
    dtype: Dtype = "float32",
    seed: Seed = 0,
    device: Device = "auto",
    tau: Tau = 0.01,
    where: Where = None,
    missing: Missing = "drop",
    as_json: Json = False,
) -> None:
    """Fit both ways and certify how far apart the answers are, and why."""
    fit = squarely.ols(formula, data, where=where, missing=missing)
    run = squarely.train(
        formula,
        data,
        lr=_rate(lr),
        epochs=epochs,
        batch_size=batch_size,
        loss=loss,
        optimizer=optimizer,
        momentum=momentum,
        nesterov=nesterov,
        weight_decay=weight_decay,
        average=average,
        stop=stop,
        engine=engine,
        gradient=gradient,
        dtype=dtype,
        seed=seed,
        device=device,
        where=where,
        missing=missing,
    )
    certificate = squarely.certify(fit, run, tau=tau)
    _show(certificate.as_dict() if as_json else certificate.summary())
    if not certificate.agree:
        raise typer.Exit(1)


def _rate(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text  # "auto", or what train says something about


def _share_or_path(text: str | None) -> float | str | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def _options(name: str, given: list[str] | None) -> dict[str, Any]:
    """Read options such as step_size=30: a value is JSON, or else text."""
    options = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise OptionError(f"{name} {text!r} is no option with a value. Write it as name=value, such as step_size=30.")
        options[key.strip()] = _value(value)
    return options


def _value(text: str) -> Any:
    for read in (json.loads, float):  # float takes .1, which JSON does not
        try:
            return read(text)
        except ValueError:
            continue
    return text


def main() -> None:
    """Run the command line and turn squarely's errors into one message and an exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal cannot print must not stop the page
    nobody = nullcontext() if _is_first() else _unheard()
    sys.unraisablehook = _met_late
    try:
        with nobody:
            app()
    except (SquarelyError, OSError) as error:  # of a folder that cannot be made, or a full disk, the system's own words say it
        _say(error)
        _end(_code_of(error))
    except KeyboardInterrupt as interrupt:
        _tell(interrupt)
        _end(_INTERRUPTED)
    except SystemExit as end:
        if end.code in (_INTERRUPTED, _TERMINATED):  # typer makes the first of a KeyboardInterrupt, without a word
            _tell(end)
        _end(end.code)


def _met_late(lost: sys.UnraisableHookArgs) -> None:
    """Interrupt once more where Ctrl-C came during a finaliser, out of which Python raises nothing; every import has some."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        threading.Timer(_SOON, os.kill, (os.getpid(), signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(lost)


@contextmanager
def _unheard() -> Iterator[None]:
    """Print nothing: the first process says the same."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def _tell(end: BaseException | None) -> None:
    """Say in one line that a command was interrupted, and what the interrupt itself has to say."""
    if not _is_first():
        return
    while end is not None and not (isinstance(end, KeyboardInterrupt) and end.args):
        end = end.__cause__ or end.__context__
    said = "interrupted"
    if end is not None:
        from squarely.show import safe

        said = safe(end)
    print(f"squarely: {said}", file=sys.stderr)


def _code_of(error: Exception) -> int:
    return 1 if isinstance(error, NumericalError) else 3 if isinstance(error, ProcessError) else 2


def _say(error: Exception) -> None:
    """Say an error in one message; of several processes the first one says what all have met."""
    from squarely.show import safe

    if isinstance(error, SquarelyError) and not error.lonely and not _is_first():
        return
    said = "\n".join(safe(line) for line in str(error).split("\n"))  # carets stand in lines of their own
    print(f"squarely: error: {said}", file=sys.stderr)


def _end(code: Any) -> NoReturn:
    """Exit; torchrun ends all processes as soon as one has failed, so the first gets the time to say why."""
    if code and not _is_first():
        time.sleep(_PAUSE)
    sys.exit(code)


def _show(result: Mapping[str, Any] | Page) -> None:
    if isinstance(result, Mapping):
        _print_json(result)
    else:
        _print(result)


def _print(text: object) -> None:
    """Print; whoever reads through a pipe, such as head, may have seen enough before the end."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(141) from None  # as a shell has it; 1 is a numerical "no"


def _print_json(numbers: Mapping[str, Any]) -> None:
    """Print strict JSON: what is not finite has no number there and becomes null."""
    _print(json.dumps(_plain(numbers), allow_nan=False, indent=2))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
