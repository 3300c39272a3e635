"""Which arrays a GPT-2 has: their names, shapes and first values, and whether those of a file are right."""
