"""The command line. `commands` is where words become calls, `options` how they are read, `output` and `ending` what is said."""

from squarely.cli.commands import app
from squarely.cli.exit import run

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line, and end with its exit code."""
    run(app)
