"""Partial quantization-aware training: how many layers, which ones, at what price.

One idea a module. Networks: ``arms`` (with the images that they are trained on), ``selection``
(which layers), ``control`` (the float arm), ``runner`` (arms made and measured), ``tensors`` (which
tensors are quantized, and why).

Costs: ``updates`` (what a client downloads), ``headers`` (bytes of a checkpoint, computed),
``traffic`` (what processes send each other, computed), ``cost`` (seconds and memory of a step).

Jobs, as the workflow plans them, are in ``laq.config.partial_jobs``. What follows from the
measurements is in ``laq.analysis.partial``.
"""
