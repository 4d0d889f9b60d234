"""Networks as ONNX files, and ONNX Runtime."""
