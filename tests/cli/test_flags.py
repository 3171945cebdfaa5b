"""Flags made of a model's fields."""

from __future__ import annotations

import argparse

import pytest

from mtrl_conic.cli.flags import add_fields, given_fields
from mtrl_conic.runs.config import RunConfig


@pytest.mark.parametrize(
    ("flag", "value"), [("--layer-norm", "none"), ("--reward-scale", "return"), ("--target-entropy", None)]
)
def test_none_is_a_word_where_a_field_has_it(flag: str, value: str | None) -> None:
    """And no value where it has not."""
    parser = argparse.ArgumentParser()
    add_fields(parser, RunConfig)
    given = given_fields(parser.parse_args([flag, value or "none"]), RunConfig)
    assert given == {"agent": {flag[2:].replace("-", "_"): value}}
