"""The commands: each makes one or two calls of `squarely` and prints the result as text or JSON."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

import squarely
from squarely._version import __version__
from squarely.cli.exit import exit_code, print_error, print_warnings, process_count
from squarely.cli.flags import page_with_flags
from squarely.cli.options import DataPath, FormulaText, Json, Missing, Read, Where, read_number, reads, takes
from squarely.errors import OptionError, SquarelyError

app = typer.Typer(name="squarely", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _show(result: Any, *, as_json: bool) -> None:
    """Print the summary of a result, or its numbers as JSON."""
    if as_json:
        _print_json(result.as_dict())
    else:
        _print_text(page_with_flags(result.summary()))


def _print_text(text: object) -> None:
    """Print; the reader of a pipe, such as head, may close it before the end."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(141) from None  # 128 + SIGPIPE, as in a shell; 1 is a numerical "no"


def _print_json(numbers: Mapping[str, Any]) -> None:
    """Print strict JSON, in which NaN and infinities are null."""
    from squarely.storage.json_fields import to_json  # it loads NumPy, which --help does without

    _print_text(json.dumps(to_json(numbers, lambda x: None), allow_nan=False, indent=2))


def _version(requested: bool) -> None:
    if requested:
        _print_text(f"squarely {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Linear regression by two independent methods, exact and trained, and how far apart they are."""
    if process_count() > 1 and context.invoked_subcommand != "train":
        raise OptionError(
            f"squarely {context.invoked_subcommand} runs in one process, and there are {process_count()} of them. Start it without "
            "torchrun; only squarely train can share its work among processes."
        )


def _under_torchrun(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command that several processes, started by torchrun, run together."""

    @wraps(command)
    def run(**arguments: Any) -> None:
        if process_count() == 1:
            return command(**arguments)
        from squarely.descent import current_group, init_from_torchrun

        with init_from_torchrun(arguments["device"]):
            try:
                return command(**arguments)
            except SquarelyError as error:
                if error.local_only:
                    raise
                print_error(error)
                current_group().barrier()  # torchrun ends the first process, printed or not, once another has ended
                raise typer.Exit(exit_code(error)) from error

    return run


@contextmanager
def _with_progress() -> Iterator[None]:
    """Show a progress bar; `squarely.progress` is imported when the command runs, so that `--help` is fast."""
    with squarely.progress():
        yield


@app.command(epilog="Example: squarely demo --out squarely-demo")
def demo(
    out: Annotated[Path, typer.Option("--out", help="The folder for the figures.")] = Path("squarely-demo"),
    as_json: Json = False,
) -> None:
    """Run the whole tutorial on the built-in cars.csv, with figures."""
    from squarely.cli.demo import run_demo

    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        numbers = run_demo(out)
    if as_json:
        _print_json(numbers)
    if not numbers["certify"]["agree"]:
        raise typer.Exit(1)


@app.command(epilog="Example: squarely ols 'mpg ~ displacement + weight' cars.csv")
@_with_progress()
@reads
def ols(
    formula: FormulaText,
    data: DataPath,
    where: Where = None,
    missing: Missing = "drop",
    collinear: Annotated[str, typer.Option(help="Columns that earlier columns span: drop or raise.")] = "drop",
    precision: Annotated[str, typer.Option(help="Arithmetic of the refinement: auto, double or extended.")] = "auto",
    fold: Annotated[str, typer.Option(help="How to sum up rows: auto, batches, or aggregates in an engine.")] = "auto",
    save: Annotated[Path | None, typer.Option(help="Save the fit as JSON, for squarely predict.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what the fit would read and cost, without a fit.")] = False,
    as_json: Json = False,
    read: Read = None,
) -> None:
    """Fit by least squares and print the summary."""
    if dry_run:
        if save is not None:
            raise OptionError("--dry-run makes no fit, so --save has nothing to save. Leave out one of them.")
        _show(squarely.preview(formula, data, where=where, read=read, precision=precision, fold=fold), as_json=as_json)
        return
    fit = squarely.ols(formula, data, where=where, read=read, missing=missing, collinear=collinear, precision=precision, fold=fold)
    if save is not None:
        fit.save(save)
    _show(fit, as_json=as_json)


@app.command(
    epilog="Example: squarely ols 'mpg ~ weight' cars.csv --save fit.json; squarely predict fit.json new.csv -o out.parquet"
)
@_with_progress()
@reads
def predict(
    model: Annotated[Path, typer.Argument(help="A fit that ols --save has written.", metavar="FIT")],
    data: DataPath,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write a .csv, .parquet, .arrow or .jsonl file instead.")] = None,
    unseen: Annotated[str, typer.Option(help="A level that the fit does not have: error or nan.")] = "error",
    rank_deficient: Annotated[
        str, typer.Option(help="A row that breaks the dependency of a dropped column: nan or allow.")
    ] = "nan",
    as_json: Json = False,
    read: Read = None,
) -> None:
    """Predict new rows from a saved fit: one value a row, empty if a predictor is missing or the fit determines no value."""
    fit = squarely.load(model)
    if out is not None:
        with print_warnings():
            rows = fit.write_predictions(data, out, read=read, unseen=unseen, rank_deficient=rank_deficient)
        _print_json({"rows": rows, "out": str(out)}) if as_json else _print_text(f"{rows:,} predictions written to {out}")
        return
    with print_warnings():
        values = fit.predict(data, read=read, unseen=unseen, rank_deficient=rank_deficient).tolist()
    if as_json:
        _print_json({"predicted": values})
    else:
        _print_text("\n".join(["predicted", *("" if math.isnan(value) else repr(value) for value in values)]))


@app.command(epilog="Example: squarely merge 2023.json 2024.json -o all.json; squarely merge all.json --remove 2023.json")
def merge(
    models: Annotated[list[Path], typer.Argument(help="Fits that ols --save or merge --out has written.", metavar="FIT...")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Save the merged fit as JSON.")] = None,
    remove: Annotated[list[Path] | None, typer.Option("--remove", help="A fit whose rows to subtract; repeat for several.")] = None,
    duplicates: Annotated[str, typer.Option(help="Two fits with the same cross-products: raise or keep.")] = "raise",
    as_json: Json = False,
) -> None:
    """Merge saved fits of one formula into the fit of all their rows, and print the summary."""
    fit = squarely.merge(map(squarely.load, models), remove=map(squarely.load, remove or []), duplicates=duplicates)
    if out is not None:
        fit.save(out)
    _show(fit, as_json=as_json)


@app.command(epilog="Example: squarely train 'mpg ~ displacement' cars.csv --lr 0.01 --epochs 1000")
@_under_torchrun
@_with_progress()
@takes()
@reads
def train(
    formula: FormulaText,
    data: DataPath,
    *,
    where: Where = None,
    missing: Missing = "drop",
    save: Annotated[Path | None, typer.Option(help="Save the run in this folder, regularly and on Ctrl-C.")] = None,
    checkpoint_every: Annotated[
        str | None,
        typer.Option(help="How often to save: '30 s', '10 epochs' or '100 steps'; by default 60 s."),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Continue from the newest checkpoint in this folder, and save the run there.")
    ] = None,
    code: Annotated[bool, typer.Option("--code", help="Print the plain PyTorch script of the run instead.")] = False,
    as_json: Json = False,
    read: Read = None,
    **options: Any,
) -> None:
    """Train nn.Linear by gradient descent and print the run, with theory beside it."""
    run = squarely.train(
        formula,
        data,
        where=where,
        missing=missing,
        read=read,
        checkpoint=save,
        checkpoint_every=checkpoint_every,
        resume=False if resume is None else resume,
        **options,
    )
    if as_json:
        _print_json({**run.as_dict(), **({"code": run.code()} if code else {})})
    else:
        _print_text(run.code().rstrip("\n") if code else page_with_flags(run.summary()))
    run.require()


@app.command(epilog="Example: squarely sweep 'mpg ~ displacement' cars.csv --lr 0.01 --lr 0.001 --lr 0.0001")
@_with_progress()
@takes("epochs", "optimizer", "nesterov", "dtype", "device")
@reads
def sweep(
    formula: FormulaText,
    data: DataPath,
    *,
    lr: Annotated[list[str], typer.Option(help="A learning rate, or auto; repeat for several.")] = ["0.01", "0.001", "0.0001"],  # noqa: B006
    batch_size: Annotated[list[int] | None, typer.Option(help="Rows in a step; repeat for several.")] = None,
    momentum: Annotated[list[float], typer.Option(help="Momentum of sgd, in [0, 1); repeat for several.")] = [0.0],  # noqa: B006
    seed: Annotated[list[int], typer.Option(help="Seed of the random start and the order of rows; repeat for several.")] = [0],  # noqa: B006
    where: Where = None,
    missing: Missing = "drop",
    as_json: Json = False,
    read: Read = None,
    **options: Any,
) -> None:
    """Train once for each combination of learning rates, batch sizes, seeds and momenta, all at once, and compare."""
    rates = [read_number(each) for each in lr]
    result = squarely.sweep(
        formula,
        data,
        where=where,
        read=read,
        missing=missing,
        lr=rates,
        batch_size=batch_size,
        momentum=momentum,
        seed=seed,
        **options,
    )
    _show(result, as_json=as_json)
    result.best.require()


@app.command(epilog="Example: squarely certify 'mpg ~ displacement' cars.csv --tau 0.01")
@_with_progress()
@takes("lr", "epochs", "batch_size", "loss", "optimizer", "momentum", "nesterov", "weight_decay", "average", "stop", "engine",
       "gradient", "dtype", "seed", "device")  # fmt: skip
@reads
def certify(
    formula: FormulaText,
    data: DataPath,
    *,
    tau: Annotated[float, typer.Option(help="Tolerance, in standard errors.")] = 0.01,
    where: Where = None,
    missing: Missing = "drop",
    as_json: Json = False,
    read: Read = None,
    **options: Any,
) -> None:
    """Fit both ways and certify how far apart the answers are, and why."""
    fit = squarely.ols(formula, data, where=where, read=read, missing=missing)
    run = squarely.train(formula, data, where=where, read=read, missing=missing, **options)
    certificate = squarely.certify(fit, run, tau=tau)
    _show(certificate, as_json=as_json)
    if not certificate.agree:
        raise typer.Exit(1)
