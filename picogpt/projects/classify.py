"""Where `picogpt.projects.classify` went: it is `picogpt.finetune.classify` now."""

import sys

if __name__ == "__main__":
    sys.exit("python -m picogpt.projects.classify is python -m picogpt.finetune.classify now: use that name")
