"""The pre-flight: short probes of several seeds, and no trace left of them."""
