"""`python -m picogpt.sizing`: see cli.py."""

from picogpt.sizing.cli import sizing
from picogpt.system import command

if __name__ == "__main__":
    command.run(sizing)
