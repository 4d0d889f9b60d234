"""Inference in integers: no float between the quantized image and the logits' integers.

One idea a module: ``grammar`` (what the operations of a network mean on a grid), ``placement``
(quantizers on every value between layers, for the network that is simulated in float, and units of
biases), ``reading`` (grids and integers of a calibrated network), ``rescaling`` (products with real
numbers in fixed point), ``operations`` (layers, sums, means, maxima on codes), ``compilation``
(from the simulated network to the integer one), ``simulation`` (the simulated network with exact
sums).

After Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018.
"""
