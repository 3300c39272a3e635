"""What a command imports before its first token: nothing that takes long and that it can do without."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SLOW = (
    "asyncio requests tqdm socket logging.handlers email importlib.metadata secrets mpi4py jinja2 matplotlib"
)


def python(*words):
    environment = os.environ | dict(PYTHONPATH=str(REPOSITORY), OPENBLAS_NUM_THREADS="1")
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=True, env=environment, cwd=REPOSITORY
    )


def test_a_text_is_written_without_what_takes_long_to_import():
    done = python("-X", "importtime", "-m", "picogpt", "Once upon a", "--model", "tales", "--n", "1")
    assert done.stdout == " time\n"
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {"numpy", "fire", "picogpt.gpt2"} <= imported  # so this sees what is imported
    assert imported & set(SLOW.split()) == set()


def test_fire_without_asyncio_is_fire_and_asyncio_is_there_for_others():
    code = """
import sys
from picogpt.system import command
fire = command.import_fire()
assert fire is command.import_fire() and "asyncio" not in sys.modules
async def add(a, b=2): return a + b
print(fire.Fire(add, command=["40"]), "asyncio" in sys.modules)
import asyncio
print(asyncio.run(add(1)), asyncio.iscoroutinefunction(add), type(asyncio).__name__)
"""
    assert python("-c", code).stdout.splitlines()[-2:] == ["42 True", "3 True module"]


def test_fire_takes_the_asyncio_that_is_there():
    code = "import asyncio, sys; from picogpt.system import command; fire = command.import_fire();"
    code += "print(fire.core.asyncio is asyncio is sys.modules['asyncio'])"
    assert python("-c", code).stdout == "True\n"
