"""`python -m picogpt` and the installed command `picogpt`: see cli.py."""

from picogpt.cli import main

if __name__ == "__main__":
    main()
