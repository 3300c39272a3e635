"""`python -m picogpt.train`: see cli.py."""

from picogpt.system import command
from picogpt.train.cli import flags_file, train

if __name__ == "__main__":
    command.run(train, config=flags_file)
