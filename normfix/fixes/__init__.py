"""Remedies carried out on source text; the only place that imports libcst."""
