"""`python -m picogpt.chat`: see cli.py."""

from picogpt.chat.cli import chat
from picogpt.system import command

if __name__ == "__main__":
    command.run(chat)
