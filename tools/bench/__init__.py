"""Time picogpt beside its peers: `python tools/bench`."""
