"""The command line: `commands`, `hypothesis_commands`, `table_command` and their `options`, the `exit` codes, and the `demo`."""

from squarely.cli.exit import run
from squarely.cli.table_command import app


def main() -> None:
    """Run the command line and exit with its exit code."""
    run(app)
