"""The exact solver, and what a fit states."""
