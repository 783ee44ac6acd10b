"""The bootstrap: Poisson weights of rows or clusters, and the wild cluster bootstrap of a test."""
