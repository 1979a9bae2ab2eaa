"""The rooms of `readers/onnx_file.py`: stored values, layers, names."""
