"""Balancers and updates compute on the device of their gradients and batches, and never wait for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration


@pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this version of torch cannot name a device without a backend",
)
def test_everything_stays_on_the_device_and_no_value_is_read() -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.device_program"]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["errors"] == {}
    assert found["checked"] > 100
