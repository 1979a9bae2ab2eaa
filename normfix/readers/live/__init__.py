"""The rooms of `readers/model.py`: kinds, arguments, layers, operators, exported and symbolic graphs."""
