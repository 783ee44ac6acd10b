"""Right training loops: the checkup may have no finding above "possible" for any of them."""
