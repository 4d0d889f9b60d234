"""Quantization-aware training: a network trained further so that its weights end on a grid.

One idea a module: ``selection`` (which layers), ``grid`` (weights as codes and steps inside a
network), ``lsq`` and ``prox`` (two ways to get there), ``batchnorm``, ``training`` (all of it).
"""
