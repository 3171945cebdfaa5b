"""Balancers compute on the device of the gradients, and never wait for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration

from tests.balancers.test_registry import CASES


@pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this version of torch cannot name a device without a backend",
)
def test_everything_stays_on_the_device_of_the_gradients() -> None:
    command = [sys.executable, "-m", "tests.balancers.device_program"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == {"checked": len(CASES), "errors": {}}
