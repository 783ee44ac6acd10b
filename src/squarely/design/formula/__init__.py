"""From the text of a formula to its terms and factors: no data, no engine."""
