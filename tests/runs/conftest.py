from tests.training.conftest import tiny as tiny
