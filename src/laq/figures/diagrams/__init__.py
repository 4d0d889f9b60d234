"""Figures 2 and 3 before they are drawn: the rule graph, its text, and the layout."""
