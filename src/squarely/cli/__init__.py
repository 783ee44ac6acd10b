"""The command line: the `commands` and their `options`, the `exit` codes, and the `demo`."""

from squarely.cli.all_commands import app
from squarely.cli.exit import run


def main() -> None:
    """Run the command line and exit with its exit code."""
    run(app)
