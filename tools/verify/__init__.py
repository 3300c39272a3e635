"""Show that picogpt is right: `python tools/verify`."""
