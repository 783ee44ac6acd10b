"""One pass over rows: batches decoded once, folded in order, in threads, with an account of dropped rows and a progress report."""
