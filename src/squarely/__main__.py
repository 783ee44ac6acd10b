"""`python -m squarely` runs the command line."""

from squarely.cli import main

main()
