"""What a design learns from rows before there are columns: planned once, run on rows or in an engine."""
