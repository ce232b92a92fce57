"""Risk curves with a known truth, and what the fit makes of them."""
