"""What integer codes stand for: the levels that a quantized weight may take.

A grid knows nothing of how its levels were chosen or how codes are: ``laq.quantizers.uniform``,
``laq.quantizers.uniform`` and ``laq.quantizers.codebooks`` choose levels, solvers choose codes, and
``laq.checkpoints.packing`` writes both. Weights are (N, d) here, one neuron (filter) a row.

Scales may be shared by blocks of a weight, of ``rows`` consecutive neurons and ``columns``
consecutive inputs, so that a tensor of scales is

    ()       one for the layer
    (R, B)   R = ⌈N / rows⌉ times B = ⌈d / columns⌉; B = 1 where a block has all columns
"""
