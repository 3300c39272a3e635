"""Which processor OpenBLAS is told of, and that it listens."""

import os
import subprocess
import sys

import pytest

from picogpt.kernels import choose_kernels

ZEN5 = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 26
flags\t\t: fpu avx2 avx512f avx512dq

processor\t: 1
cpu family\t: 26
flags\t\t: fpu avx2 avx512f avx512dq
"""


@pytest.fixture
def coretype(tmp_path, monkeypatch):
    """Choose kernels for a given /proc/cpuinfo and return what OpenBLAS is told."""
    monkeypatch.setattr(os, "environ", {})

    def choose(cpuinfo, **environment):
        os.environ.update(environment)
        path = tmp_path / "cpuinfo"
        path.write_text(cpuinfo)
        choose_kernels(path)
        return os.environ.get("OPENBLAS_CORETYPE")

    return choose


def test_zen_5_gets_the_code_for_avx_512(coretype):
    assert coretype(ZEN5) == "SkylakeX"


@pytest.mark.parametrize(
    "cpuinfo", [ZEN5.replace("26", "25"), ZEN5.replace("avx512f", ""), "", "Hardware: BCM2711\n"]
)
def test_other_processors_are_left_to_openblas(coretype, cpuinfo):
    assert coretype(cpuinfo) is None


def test_what_the_user_has_chosen_stays(coretype):
    assert coretype(ZEN5, OPENBLAS_CORETYPE="Haswell") == "Haswell"


def test_without_such_a_file_nothing_happens(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "environ", {})
    choose_kernels(tmp_path / "none")
    assert os.environ == {}


def test_openblas_always_uses_avx_512_where_it_was_told_to():
    code = "import picogpt, os, picogpt.machine as m, numpy; print(os.environ.get('OPENBLAS_CORETYPE'))"
    code += "; print(*[library.get('architecture') for library in m.blas().info()])"
    environment = {key: value for key, value in os.environ.items() if key != "OPENBLAS_CORETYPE"}
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
        )
        told, used = done.stdout.splitlines()
        assert told == "None" or used == told
