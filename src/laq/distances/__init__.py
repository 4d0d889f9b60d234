"""Features, their embedding in the plane, inter-class distance, and class subsets."""
