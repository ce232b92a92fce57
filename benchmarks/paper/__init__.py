"""The claims of arXiv 2606.17649, held against recorded fine-tunes (benchmarks.phase_diagram)."""
