"""Rows in an order: sorted, in separate ranges, one after another, and beside those some rows before."""
