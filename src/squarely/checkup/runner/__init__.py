"""The user's code in a child process: a time limit, captured output, and one or several ranks."""
