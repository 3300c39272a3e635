"""Run the sessions of docs/chat.md again, and write down what the terminal shows now.

usage: PYTHONPATH=.:tests/helpers python tests/record/sessions.py

What is typed stays; only the answers change, as they do with another bundled model.
"""

import tempfile

from terminal import REPOSITORY, SIGN, Terminal, sessions, words_of


def record():
    """Write docs/chat.md anew."""
    path = REPOSITORY / "docs" / "chat.md"
    text = path.read_text(encoding="utf-8")
    for command, turns in sessions():
        with tempfile.TemporaryDirectory() as folder:
            terminal = Terminal(*words_of(command), folder=folder)
            terminal.read(SIGN)
            lines = [f"$ python -m {command}"]
            for typed, _ in turns[:-1]:
                terminal.type(typed)
                lines.append(SIGN + terminal.read("\n" + SIGN).removesuffix("\n" + SIGN))
            terminal.end()
        begin = text.index(f"$ python -m {command}\n")
        text = text[:begin] + "\n".join([*lines, f"{SIGN}^D\n"]) + text[text.index("```", begin) :]
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    record()
