"""Published shapes, and what a model costs: `python -m picogpt.sizing`."""
