"""Temporary copies of rows that cannot be read where they are: compressed files, standard input, pipes and URLs."""
