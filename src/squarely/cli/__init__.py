"""The command line: `commands`, `hypothesis_commands`, `table_command` and their `options`, the `exit` codes, and the `demo`."""

from squarely.cli import hypothesis_commands, table_command  # they add their commands to the app
from squarely.cli.commands import app
from squarely.cli.exit import run


def main() -> None:
    """Run the command line and exit with its exit code."""
    run(app)
