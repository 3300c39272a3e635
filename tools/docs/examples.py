"""Run again what README, docs/ and the bundled model's card show, and write down what it prints now.

usage: python tools/docs/examples.py [PAGE ...]        (all of them)

Of a console block, each `$ command` is run, and what follows it is replaced by its output: for
`python -m picogpt PROMPT` as a terminal shows it, after the prompt. Of a Python block with `>>>`, each
example is run, and its result is replaced. A session at the prompt is typed again, in a pseudo-terminal. So a
new bundled model takes one command, and no page is typed.
"""

import contextlib
import doctest
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGES = [
    "README.md",
    "models/tales/README.md",
    *(f"docs/{p.name}" for p in (REPOSITORY / "docs").glob("*.md")),
]
BLOCK = r"^```{}\n(.*?)^```$"


def renew(text):
    """Return a page with what its commands and examples print now."""
    names = {}  # what the examples have defined so far

    def console(match):
        return f"```console\n{session(match[1])}```"

    def python(match):
        return f"```python\n{examples(match[1], names)}```"

    for language, again in (("console", console), ("python", python)):
        text = re.sub(BLOCK.format(language), again, text, flags=re.DOTALL | re.MULTILINE)
    return text


def session(block):
    """Return a console block with what its commands print now."""
    if re.search(r"^> ", block, re.MULTILINE):
        return conversation(block)
    lines = [line for line in block.splitlines() if line.startswith("$ ")]
    return "".join(f"{line}\n{output(line.removeprefix('$ '))}" for line in lines)


def conversation(block):
    """Return a session at the prompt, in which lines after "> " were typed, with what it shows now."""
    sys.path.insert(0, str(REPOSITORY / "tests" / "helpers"))
    from terminal import SIGN, Terminal, words_of

    command, *parts = re.split(r"^> ", block, flags=re.MULTILINE)
    with tempfile.TemporaryDirectory() as folder:
        terminal = Terminal(*words_of(command.removeprefix("$ python -m ").strip()), folder=folder)
        try:
            shown = [command, terminal.read(SIGN)]
            for part in parts[:-1]:  # the last is ^D
                terminal.type(part.partition("\n")[0])
                shown.append(terminal.read("\n" + SIGN))
        finally:
            terminal.close()
    return "".join(shown) + "^D\n"


def output(command):
    """Run a command of picogpt; return what a terminal shows of it, without a model 124M."""
    program, *words = shlex.split(command)
    if program != "python":
        raise ValueError(f"only commands of python are run, not {command}")
    with tempfile.TemporaryDirectory() as folder:
        elsewhere = [] if "--help" in words else ["--models_dir", folder]
        call = [sys.executable, *words, *elsewhere]
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run(call, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"{command}: {done.stderr}")
    writes = words[:2] == ["-m", "picogpt"] and "--help" not in words
    return f"{done.stderr}{words[2]}{done.stdout.rstrip()}\n" if writes else done.stdout


def examples(block, names):
    """Return a Python block with the results of its examples as they are now."""
    if ">>>" not in block:
        return block
    parts = []
    for part in doctest.DocTestParser().parse(block):
        if isinstance(part, str):
            parts.append(part)
            continue
        first, *more = part.source.splitlines(keepends=True)
        parts.append(f">>> {first}" + "".join(f"... {line}" for line in more))
        with contextlib.redirect_stdout(io.StringIO()) as said:
            exec(compile(part.source, "<example>", "single"), names)
        parts.append(said.getvalue())
    return "".join(parts)


def main(names):
    """Renew the pages that are named, or all."""
    sys.path.insert(0, str(REPOSITORY))
    os.chdir(REPOSITORY)
    for name in names or PAGES:
        path = Path(name)
        before = path.read_text(encoding="utf-8")
        after = renew(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"{name} is renewed")


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]):
        sys.exit(__doc__)
    main(sys.argv[1:])
