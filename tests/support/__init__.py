"""What tests share: comparisons, engines, servers, processes and the table of bad input. There are no tests here."""
