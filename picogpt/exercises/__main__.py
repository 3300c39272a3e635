"""`python -m picogpt.exercises`: see ladder.py."""

from picogpt import command
from picogpt.exercises.ladder import exercises

if __name__ == "__main__":
    command.run(exercises)
