"""A run being watched: what is measured at each step, what is concluded from it."""
