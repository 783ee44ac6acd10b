"""What theory states about a run: limits, rates and warnings before it starts, lr='auto', and the curve of its loss."""
