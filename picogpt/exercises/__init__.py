"""The ladder on which a reader rebuilds picogpt, function by function: see ladder.py."""
