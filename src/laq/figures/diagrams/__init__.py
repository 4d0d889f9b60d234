"""Figures 2 and 3 before they are drawn: the rule graph, what it says, and where things go."""
