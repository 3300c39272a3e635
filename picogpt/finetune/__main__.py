"""`python -m picogpt.finetune`: see cli.py."""

from picogpt.finetune.cli import finetune
from picogpt.system import command
from picogpt.train import runs

if __name__ == "__main__":
    command.run(finetune, config=runs.flags_file(finetune))
