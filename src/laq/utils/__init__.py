"""Errors, files, seeds, devices and whatever else every package uses."""
