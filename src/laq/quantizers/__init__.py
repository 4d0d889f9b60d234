"""Levels that weights are rounded to, and how codes are stored."""
