"""Deep Compression in real bytes: pruned, shared and entropy-coded weights (Han et al., 2016)."""
