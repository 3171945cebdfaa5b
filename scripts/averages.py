"""Train one run, and evaluate several averages of its actor at every evaluation.

Use: python scripts/averages.py --seed 0 --steps 200000 --every 25000 --out runs/averages/seed_0
Averages do not affect training, so the comparison is paired: one actor with several values of `average_over` (1 is the
actor itself). The script writes averages.csv to the run directory, which must be new: averages cannot be resumed.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

from torch import Tensor

from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.agents.mtsac.average import Average
from mtrl_conic.evaluation.success import Evaluator
from mtrl_conic.runs.config import RunConfig, make_config
from mtrl_conic.runs.making import make_agent, make_evaluation_envs
from mtrl_conic.runs.run import train
from mtrl_conic.training.callbacks import Callback
from mtrl_conic.training.trainer import Trainer

COLUMNS = ("step", "seed", "average_over", "task", "success", "episodes_per_task")


class Averages(Callback):
    """Averages of the trained actor over several numbers of updates.

    Args:
        config: configuration of the run.
        over: number of updates of each average.
        file: CSV file to write.
    """

    def __init__(self, config: RunConfig, over: list[int], file: Path) -> None:
        self._over, self._file = over, file
        envs = make_evaluation_envs(config)
        self._evaluator = Evaluator(envs, config.training.episodes_per_task)
        plain = config.agent.model_copy(update={"average_over": 0})
        self._acting = make_agent(config.model_copy(update={"agent": plain}), envs)
        assert isinstance(self._acting, MTSAC)

    def on_start(self, trainer: Trainer) -> None:
        """Start the averages and the file."""
        self._averages = {over: Average(trainer.agent.actor.network, over) for over in self._over}
        with self._file.open("w", newline="") as file:
            csv.writer(file).writerow(COLUMNS)

    def on_update(self, trainer: Trainer, statistics: dict[str, Tensor]) -> None:
        """Add the actor to each average."""
        for average in self._averages.values():
            average.take(trainer.agent.actor.block)

    def on_evaluation(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Evaluate each average on the episodes of the run's own evaluation."""
        episodes = record["episodes_per_task"]
        for over, average in self._averages.items():
            self._acting.actor.network.load_state_dict(average.network.state_dict())
            success = self._evaluator.evaluate(self._acting.policy().act, episodes_per_task=episodes).success
            with self._file.open("a", newline="") as file:
                for task, rate in success.items():
                    csv.writer(file).writerow((trainer.step, trainer.agent.seed, over, task, rate, episodes))


def main() -> None:
    """Train the run with its averages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="mt10_small")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--every", type=int, default=25_000, help="steps between two evaluations")
    parser.add_argument("--over", type=int, nargs="+", default=[1, 500, 2000, 8000])
    parser.add_argument("--out", required=True, type=Path)
    given = parser.parse_args()
    training = {"replay_capacity": given.steps, "evaluate_every": given.every, "training_episodes_per_task": 10}
    config = make_config(
        given.preset,
        {
            "balancer": "ls",
            "seed": given.seed,
            "steps": given.steps,
            "execution": {"threads": 1},
            "training": training,
        },
    )
    try:
        given.out.mkdir(parents=True)
    except FileExistsError:
        parser.error(f"{given.out} already exists; give --out a new folder")
    averages = Averages(config, given.over, given.out / "averages.csv")
    train(config, given.out, callbacks=[averages])


if __name__ == "__main__":
    main()
