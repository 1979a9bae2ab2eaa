"""Remedies of several edits: what a check asks before it names one, for it must be certain that they work."""
