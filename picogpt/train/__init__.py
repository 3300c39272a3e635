"""Training: `python -m picogpt.train`."""
