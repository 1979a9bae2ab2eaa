"""Rewrites of live models. Each declares what it matches, when it refuses, and what it keeps."""
