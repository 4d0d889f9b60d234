"""Verdicts on Deep Compression."""
