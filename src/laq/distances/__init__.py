"""Features, the plane, inter-class distance, and class subsets."""
