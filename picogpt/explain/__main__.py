"""`python -m picogpt.explain`: see cli.py."""

from picogpt.explain.cli import explain
from picogpt.system import command

if __name__ == "__main__":
    command.run(explain)
