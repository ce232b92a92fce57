"""The model of a metric's curve: coordinates, clocks of the schedule, extrapolation."""
