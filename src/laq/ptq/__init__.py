"""Post-training quantization, layer by layer."""
