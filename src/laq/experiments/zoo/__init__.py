"""The zoo: quantizers side by side on the same networks and subsets, label-aware and not."""
