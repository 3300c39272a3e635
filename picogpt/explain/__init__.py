"""Looking inside: `python -m picogpt.explain`."""
