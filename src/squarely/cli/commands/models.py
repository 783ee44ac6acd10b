"""The commands that fit, train and certify; each makes one or two calls of `squarely` and prints text or JSON."""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

import squarely
from squarely import types
from squarely._version import __version__
from squarely.cli.command_group import Command, CommandGroup, context_settings
from squarely.cli.decorators import under_torchrun, with_progress
from squarely.cli.exit import print_warnings, process_count
from squarely.cli.flags import page_with_flags
from squarely.cli.options import (
    CHECKPOINTS,
    COVARIANCE,
    DATA,
    GROUPS,
    OUTPUT,
    SWEEP,
    TRAINING,
    WEIGHTS,
    Collinear,
    DataPath,
    DryRun,
    Duplicates,
    Fold,
    FormulaText,
    Json,
    Missing,
    Plot,
    PlotKind,
    Precision,
    RankDeficient,
    Read,
    Tests,
    Unseen,
    Where,
    reads,
    takes,
)  # fmt: skip
from squarely.cli.output import print_columns, print_json, print_text, show
from squarely.cli.predictions import Interval, Keep, PredictionFile, Weights, predict_columns, read_limits
from squarely.cli.topics import list_topics, read_topic
from squarely.errors import OptionError, require_one_of

app = typer.Typer(
    name="squarely",
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its boxes leave no space for the help at 60 columns, and a pipe cannot use them
    context_settings=context_settings(),
)


def _version(requested: bool) -> None:
    if requested:
        print_text(f"squarely {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("-V", "--version", callback=_version, is_eager=True, metavar="", help="Print the version.")
    ] = False,
) -> None:
    """Linear regression by two independent methods, exact and trained."""
    if process_count() > 1 and context.invoked_subcommand != "train":
        raise OptionError(
            f"squarely {context.invoked_subcommand} runs in one process, and there are {process_count()} of them. Start it without "
            "torchrun; only squarely train can share its work among processes."
        )


@app.command(cls=Command, epilog="Example: squarely demo --out squarely-demo")
def demo(
    out: Annotated[Path, typer.Option("--out", help="The folder for the figures.", rich_help_panel=OUTPUT)] = Path("squarely-demo"),
    as_json: Json = False,
) -> None:
    """Run the whole tutorial on the built-in cars.csv, with figures."""
    from squarely.cli.demo import run_demo

    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        numbers = run_demo(out)
    if as_json:
        print_json(numbers)
    if not numbers["certify"]["agree"]:
        raise typer.Exit(1)


@app.command(cls=Command, epilog="Example: squarely ols 'mpg ~ displacement + weight' cars.csv")
@with_progress()
@takes(WEIGHTS | COVARIANCE | GROUPS)
@reads
def ols(
    formula: FormulaText,
    data: DataPath,
    *,
    where: Where = None,
    missing: Missing = "drop",
    collinear: Collinear = "drop",
    precision: Precision = "auto",
    fold: Fold = "auto",
    save: Annotated[Path | None, typer.Option(help="Save the fit as JSON, for squarely predict.", rich_help_panel=OUTPUT)] = None,
    plot: Plot = None,
    plot_kind: PlotKind = None,
    dry_run: DryRun = False,
    test: Tests = None,
    as_json: Json = False,
    read: Read = None,
    **options: Any,
) -> None:
    """Fit by least squares and print the summary."""
    if dry_run:
        for flag, value in {"--save": save, "--plot": plot, "--test": test, "--by": options.pop("by", None)}.items():
            if value is not None:
                raise OptionError(f"--dry-run makes no fit, so {flag} has no effect. Leave out one of them.")
        show(squarely.preview(formula, data, where=where, read=read, precision=precision, fold=fold, **options), as_json=as_json)
        return
    _check_plot_kind(plot_kind, plot)
    options |= {"collinear": collinear, "precision": precision, "fold": fold}
    fit = squarely.ols(formula, data, where=where, read=read, missing=missing, **options)
    if isinstance(fit, squarely.Fits):
        for flag, value in {"--save": save, "--plot": plot, "--test": test}.items():
            if value is not None:
                raise OptionError(f"{flag} is for one fit, and these are {len(fit):,}. Choose one of them with --where.")
    if save is not None:
        fit.save(save)
    if plot is not None:
        fit.plot(plot_kind).save(plot)
    show(fit, as_json=as_json, tests=[fit.f_test(each) for each in test or ()])


def _check_plot_kind(kind: PlotKind, plot: Path | None) -> None:
    if kind is not None:
        require_one_of("plot_kind", kind, get_args(types.PlotKind))
        if plot is None:
            raise OptionError(f"plot_kind={kind!r} has no file to draw to. Give plot='fit.png' with it.")


@app.command(cls=Command, epilog="Example: squarely preview cars.csv --delimiter ';'")
@reads
def preview(data: DataPath, as_json: Json = False, read: Read = None) -> None:
    """Show the columns of a file, its first rows, and how it is read."""
    show(squarely.preview(data=data, read=read), as_json=as_json)


@app.command(
    cls=Command,
    epilog="Example: squarely ols 'mpg ~ weight' cars.csv --save fit.json; squarely predict fit.json new.csv -o out.parquet",
)
@with_progress()
@reads
def predict(
    model: Annotated[
        Path, typer.Argument(help="A fit that ols --save has written, or a run that train --save has.", metavar="FIT")
    ],
    data: DataPath,
    out: PredictionFile = None,
    keep: Keep = None,
    interval: Interval = None,
    weights: Weights = None,
    unseen: Unseen = "error",
    rank_deficient: RankDeficient = "nan",
    as_json: Json = False,
    read: Read = None,
) -> None:
    """Predict new rows from a saved fit or run.

    There is one value a row. It is empty if a predictor is missing or the fit determines no value.
    """
    fit = squarely.load(model)
    if keep is not None and out is None:
        raise OptionError("keep= is for a file of predictions. Give its name, such as out='predicted.csv'.")
    options: dict[str, Any] = {"read": read, "unseen": unseen, "rank_deficient": rank_deficient}
    limits = read_limits(fit, interval, weights)
    with print_warnings():
        if out is not None:
            kept = keep if keep == "all" else keep.split(",") if keep else ()
            rows = fit.write_predictions(data, out, keep=kept, **limits, **options)
            print_json({"rows": rows, "out": str(out)}) if as_json else print_text(f"{rows:,} predictions written to {out}")
            return
        columns = predict_columns(fit, data, limits, options)
    print_json(columns) if as_json else print_columns(columns)


@app.command(
    cls=Command, epilog="Example: squarely merge 2023.json 2024.json -o all.json; squarely merge all.json --remove 2023.json"
)
def merge(
    models: Annotated[list[Path], typer.Argument(help="Fits that ols --save or merge --out has written.", metavar="FIT")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Save the merged fit as JSON.", rich_help_panel=OUTPUT)] = None,
    remove: Annotated[
        list[Path] | None,
        typer.Option("--remove", help="A fit whose rows to subtract; repeat for several.", metavar="<path>", rich_help_panel=DATA),
    ] = None,
    duplicates: Duplicates = "raise",
    as_json: Json = False,
) -> None:
    """Merge saved fits of one formula into the fit of all their rows."""
    fit = squarely.merge(map(squarely.load, models), remove=map(squarely.load, remove or []), duplicates=duplicates)
    if out is not None:
        fit.save(out)
    show(fit, as_json=as_json)


@app.command(cls=Command, epilog="Example: squarely train 'mpg ~ displacement' cars.csv --lr 0.01 --epochs 1000")
@under_torchrun
@with_progress()
@takes(TRAINING | CHECKPOINTS)
@reads
def train(
    formula: FormulaText,
    data: DataPath,
    *,
    where: Where = None,
    missing: Missing = "drop",
    code: Annotated[
        bool, typer.Option("--code", help="Print the plain PyTorch script of the run instead.", metavar="", rich_help_panel=OUTPUT)
    ] = False,
    as_json: Json = False,
    read: Read = None,
    **options: Any,
) -> None:
    """Train by gradient descent in PyTorch, with theory beside it."""
    run = squarely.train(formula, data, where=where, missing=missing, read=read, **options)
    if as_json:
        print_json({**run.as_dict(), **({"code": run.code()} if code else {})})
    elif code:
        print_text(run.code().rstrip("\n"))
        run.require()
    else:
        print_text(page_with_flags(run.summary()))
    if not run.is_done:
        raise typer.Exit(1)  # what is printed says why


@app.command(cls=Command, epilog="Example: squarely sweep 'mpg ~ displacement' cars.csv --lr 0.1,0.01,auto --batch-size 32,all")
@with_progress()
@takes({name: flag for name, flag in TRAINING.items() if name not in ("gradient", "stream")} | SWEEP)
@reads
def sweep(
    formula: FormulaText,
    data: DataPath,
    *,
    where: Where = None,
    missing: Missing = "drop",
    as_json: Json = False,
    read: Read = None,
    **options: Any,
) -> None:
    """Train many runs at once and compare them.

    There is one run for each combination of learning rates, batch sizes, seeds and momenta.
    """
    result = squarely.sweep(formula, data, where=where, read=read, missing=missing, **options)
    show(result, as_json=as_json)
    if result.best.has_failed:
        raise typer.Exit(1)


@app.command(name="help", cls=Command, epilog="Example: squarely help formulas")
def show_help(
    context: typer.Context,
    topic: Annotated[str | None, typer.Argument(help="A command or a topic; without one, all topics.", metavar="TOPIC")] = None,
) -> None:
    """Show the help of a command, or a page of the documentation."""
    commands = context.parent.command if context.parent else None
    if topic is None:
        pages = list_topics()
        width = max(map(len, pages), default=0)
        print_text("\n".join(["Topics:", *(f"  {name:<{width}}  {title}" for name, title in pages.items())]))
    elif isinstance(commands, CommandGroup) and topic in commands.commands:
        command = commands.commands[topic]
        with command.make_context(topic, ["--help"], parent=context.parent):
            pass
    else:
        print_text(read_topic(topic).rstrip("\n"))
