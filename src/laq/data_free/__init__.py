"""Calibration images made without data, from the BatchNorm statistics of a trained network."""
