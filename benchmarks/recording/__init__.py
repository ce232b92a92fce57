"""How the packaged reference runs are planned, trained, stored and summarized."""
