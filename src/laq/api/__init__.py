"""What ``laq`` offers to programs: quantize a network, evaluate it, compare recipes.

docs/library.md shows it in ten lines.
"""
