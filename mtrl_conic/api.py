"""The agent with the loop at hand: what `mtrl_conic.MTSAC` is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typing_extensions import Self

from mtrl_conic.agents.mtsac import agent
from mtrl_conic.errors import UserError
from mtrl_conic.training.callbacks import Callback
from mtrl_conic.training.trainer import Trainer


class MTSAC(agent.MTSAC):
    """As `mtrl_conic.agents.mtsac.agent.MTSAC`, and it trains itself on its task set."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._trainer: Trainer | None = None

    def learn(self, steps: int, *, callbacks: Sequence[Callback] = ()) -> Self:
        """Train for another `steps` environment steps of every task, without a run directory.

        The replay is kept between two calls. Episodes go on where they were, or begin anew where the last call was
        broken off within a step, or where the environments were stepped by someone else.

        Args:
            steps: of every task.
            callbacks: called in this order, see `mtrl_conic.training.callbacks.Callback`.

        Raises:
            UserError: the agent was made without a task set.
            FloatingPointError: the training diverged.
        """
        if self.envs is None:
            raise UserError("this agent has no task set to learn on: give one to MTSAC.load(path, envs=...)")
        if self._trainer is None:
            self._trainer = Trainer(self.envs, self)
        self._trainer.callbacks = callbacks
        self._trainer.train(self._trainer.step + steps)
        return self
