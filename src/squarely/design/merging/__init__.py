"""Two designs of one formula made one, for merged fits."""
