"""The command line: `commands` and their `options`, the `exit` codes, and the tutorial in `demo`."""

from squarely.cli.commands import app
from squarely.cli.exit import run


def main() -> None:
    """Run the command line and exit with its exit code."""
    run(app)
