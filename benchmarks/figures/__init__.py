"""The figures of README and of the pages."""
