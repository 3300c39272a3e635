"""The prompts of the explain page, for the model that comes with picogpt."""

FIRST = "Once upon a time there was a"  # what the served page begins with
OTHERS = ["The king said to his", "She went into the house and", "He was very"]  # what else a step may change
