"""What integer codes stand for: the levels that a quantized weight may take.

A grid knows nothing of how its levels were chosen or how codes are: ``laq.alphabets``,
``laq.uniform`` and ``laq.codebooks`` choose levels, solvers choose codes, and ``laq.packing``
writes both. Weights are (N, d) here, one neuron (filter) a row.

Scales may be shared by blocks of a weight, of ``rows`` consecutive neurons and ``columns``
consecutive inputs, so that a tensor of scales is

    ()       one for the layer
    (R, B)   R = ⌈N / rows⌉ times B = ⌈d / columns⌉; B = 1 where a block has all columns
"""
