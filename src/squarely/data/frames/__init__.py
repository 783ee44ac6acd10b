"""Tables in this process: data frames, arrays, Arrow."""
