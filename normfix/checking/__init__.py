"""A run over live models and artefacts."""
