"""What GPT-2's descendants do differently; GPT-2 itself needs none of it."""
