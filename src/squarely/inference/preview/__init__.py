"""What a fit will read and cost, and the first rows of data."""
