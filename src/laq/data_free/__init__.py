"""Calibration images made without data, from what a trained network remembers of its own."""
