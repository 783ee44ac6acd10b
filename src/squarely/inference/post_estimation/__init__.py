"""What a fit answers afterwards: hypotheses, predictions, tables and figures."""
