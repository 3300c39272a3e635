"""The old name of the command `picogpt.finetune`."""

import sys

if __name__ == "__main__":
    sys.exit("picogpt: the command is now called: python -m picogpt.finetune")
