"""From the record of a run to findings: one file for each family of mistakes."""
