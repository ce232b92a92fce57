"""Parts of the finishing benchmark: runs, looks, fits with sources held out, rules to compare."""
