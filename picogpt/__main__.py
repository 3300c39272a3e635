"""`python -m picogpt` and the installed command `picogpt`: see cli.py."""

import sys


def main():
    """Run the command line. It is imported here so that Ctrl-C is quiet even while that takes place."""
    try:
        from picogpt import cli

        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
