"""The paper's mathematics: decomposition, decay, optimal depth, regimes (no torch)."""
