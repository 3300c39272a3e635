"""`python -m picogpt` and the installed command `picogpt`: see cli.py."""

import sys


def main():
    """Run the command line. All is imported here so that Ctrl-C is one line even while that takes place."""
    try:
        from picogpt.system import interrupt

        interrupt.handle(interrupt.at_once)
        from picogpt import cli

        cli.main()
    except KeyboardInterrupt:  # raised by a program that calls this, before there was a handler
        print("picogpt: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
