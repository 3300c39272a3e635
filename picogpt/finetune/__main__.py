"""`python -m picogpt.finetune`: see cli.py."""

from picogpt.finetune.cli import finetune
from picogpt.train import runs

if __name__ == "__main__":
    runs.main(finetune)
