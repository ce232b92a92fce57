"""The paper's mathematics: risk decomposition, decay, optimal depth, regimes. numpy and scipy only."""
