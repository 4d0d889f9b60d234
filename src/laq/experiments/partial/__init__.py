"""Partial quantization-aware training: how many layers, which ones, at what price.

One idea a module. What is made: ``jobs`` (as the workflow plans them), ``arms``, ``selection`` and
``places`` (which layers), ``budget`` (which images), ``control`` (the float arm), ``course`` (an
arm made and measured), ``kept`` (arms that a killed job had done), ``tensors`` (their fates).

What it costs: ``updates`` (what a client downloads), ``weighing`` and ``traffic`` (what processes
send each other, computed), ``counting`` and ``sockets`` (the same, counted in real processes),
``bandwidth`` (both of a few arms), ``cost`` (seconds and memory of a step).

What follows: ``tables`` and ``table`` (all runs, put together and read), ``forms``, ``curve`` and
``formula`` (the drop against the share quantized), ``sizes`` and ``headers`` (bytes),
``prediction`` (a network left out), ``candidates``, ``recommendation`` and ``advice`` (which
layers, given a budget), ``evidence``, ``hypotheses`` and ``report`` (verdicts).
"""
