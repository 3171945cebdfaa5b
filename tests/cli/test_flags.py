"""Tests of the flags that are made from the fields of a model."""

from __future__ import annotations

import argparse

import pytest

from mtrl_conic.cli.flags import add_fields, given_fields
from mtrl_conic.runs.config import RunConfig


@pytest.mark.parametrize(
    ("flag", "value"), [("--layer-norm", "none"), ("--reward-scale", "return"), ("--target-entropy", None)]
)
def test_none_is_a_word_where_a_field_has_it(flag: str, value: str | None) -> None:
    """For other fields `none` means that there is no value."""
    parser = argparse.ArgumentParser()
    add_fields(parser, RunConfig)
    given = given_fields(parser.parse_args([flag, value or "none"]), RunConfig)
    assert given == {"agent": {flag[2:].replace("-", "_"): value}}
