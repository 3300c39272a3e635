"""`python -m picogpt.exercises`: see ladder.py."""

from picogpt.exercises.ladder import exercises
from picogpt.system import command

if __name__ == "__main__":
    command.run(exercises)
