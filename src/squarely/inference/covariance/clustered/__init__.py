"""CR0 to CR3: covariances that are robust to clusters, one-way and two-way, with the degrees of freedom of CR2."""
