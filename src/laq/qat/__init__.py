"""Quantization-aware training: a network trained further so that its weights end on a grid.

One idea a module: ``selection`` (which layers, and BatchNorm), ``grid`` (weights as codes and steps
inside a network), ``inputs`` (inputs of layers on grids), ``constraint`` with ``lsq`` and ``prox``
(two methods), ``training`` (from a trained network to packed codes).
"""
