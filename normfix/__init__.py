"""Finds misused normalization layers, rewrites models, and proves every rewrite."""
