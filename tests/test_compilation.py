"""Where numba may keep nothing, or compile nothing, things go on."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest
from numba.core import caching

from mtrl_conic import compilation
from mtrl_conic.envs import make_task_set
from mtrl_conic.envs.metaworld.fast.support import supports
from mtrl_conic.errors import UserError


def double(x: float) -> float:
    return 2 * x


def test_without_a_place_to_keep_it_code_is_compiled_by_each_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A package that is read-only, a home directory that cannot be written: numba refuses, with a traceback."""
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    monkeypatch.setattr(caching.config, "CACHE_LOCATOR_CLASSES", "", raising=False)
    compilation._warn_of_recompilation.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert compilation.compiled_and_kept(double)(1.5) == 3.0
    (record,) = caplog.records
    assert "set NUMBA_CACHE_DIR" in record.getMessage()


def test_without_compiled_code_metaworld_steps_itself(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for off in ("", "0"):
        monkeypatch.setenv("NUMBA_DISABLE_JIT", off)
        assert supports(["reach-v3"]) is None
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert "NUMBA_DISABLE_JIT" in str(supports(["reach-v3"]))
    with pytest.raises(UserError, match="stepping=fast is not possible: NUMBA_DISABLE_JIT is set"):
        make_task_set(["reach-v3"], stepping="fast")
    program = (
        "from mtrl_conic import make_task_set\n"
        "envs = make_task_set(['reach-v3'], seed=0)\n"
        "envs.reset()\n"
        "print(envs.step(envs.action_space.sample())[1].shape)"
    )
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.stdout == "(1,)\n", done.stderr
    assert "Meta-World's own code steps the tasks that fast stepping cannot: NUMBA_DISABLE_JIT is set" in done.stderr
