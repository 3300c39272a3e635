"""Where `picogpt.projects.finetune` went: it is `picogpt.finetune` now."""

import sys

if __name__ == "__main__":
    sys.exit("python -m picogpt.projects.finetune is python -m picogpt.finetune now: use that name")
