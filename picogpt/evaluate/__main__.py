"""`python -m picogpt.evaluate`: see cli.py."""

from picogpt.evaluate.cli import evaluate
from picogpt.system import command

if __name__ == "__main__":
    command.run(evaluate)
