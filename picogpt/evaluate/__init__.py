"""Measuring a model: `python -m picogpt.evaluate`."""
