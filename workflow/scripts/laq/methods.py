"""The compression methods by name: one line a method.

A method is a module with ``quantize_layer(weight, inputs, quantized_inputs, alphabet)``.
It is imported by name only when a variant asks for it, so that the workflow can rebuild
exactly the variants whose method changed.
"""

METHODS = {"gpfq": "laq.gpfq"}
