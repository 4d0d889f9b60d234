"""Partial quantization-aware training: how many layers, which ones, at what price.

One idea a module: ``updates`` (what a client downloads), ``traffic`` (what processes send each
other, computed), ``counting`` and ``sockets`` (the same, counted in real processes), ``cost``
(seconds and memory of a step).
"""
