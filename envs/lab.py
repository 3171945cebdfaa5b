"""Examples of your own environments, task set, balancer and network: copy this file and replace them by yours.

    mtrl-conic train lab --import envs/lab.py --balancer softest --network waves --run-dir runs/lab

Importing the file registers them; no other file refers to it.
"""

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Box

from mtrl_conic.balancers import Balance, Balancer, register
from mtrl_conic.envs import TaskSet, register_task_set
from mtrl_conic.gradients import Linear
from mtrl_conic.networks import register_network


class Cart(gym.Env):
    """A cart on a rail that must be pushed to a mark. It observes its position, its speed and the mark."""

    observation_space = Box(-np.inf, np.inf, (3,), np.float32)
    action_space = Box(-2.0, 2.0, (1,), np.float32)  # in newtons; the agent's actions in [-1, 1] are mapped onto it

    def __init__(self, mass=1.0):
        self.mass = mass

    def reset(self, *, seed=None, options=None):
        """Draw all random numbers from `self.np_random`, which the seed determines, so that runs can be resumed."""
        super().reset(seed=seed)
        self.place, self.mark = self.np_random.uniform(-1, 1, 2)
        self.speed = 0.0
        return self._see(), {}

    def step(self, action):
        """End the episode at the ends of the rail. Success is a key of `info`, set at every step or at the last one."""
        self.speed += 0.1 * (float(action[0]) / self.mass - 0.2 * self.speed)
        self.place += 0.1 * self.speed
        away = abs(self.place - self.mark)
        return self._see(), -away, abs(self.place) > 2, False, {"at_mark": away < 0.05}

    def _see(self):
        return np.array([self.place, self.speed, self.mark], np.float32)


class Arm(gym.Env):
    """Two joints that hold the arm's tip up against its weight. Without a success rule, only returns are reported."""

    observation_space = Box(-np.inf, np.inf, (4,), np.float32)
    action_space = Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        """Start with both joints at random angles, at rest."""
        super().reset(seed=seed)
        self.angles = self.np_random.uniform(-1, 1, 2)
        return self._see(), {}

    def step(self, action):
        """End the episode if the arm hangs down."""
        self.angles = self.angles + 0.1 * (np.asarray(action, np.float64) - 0.3 * np.sin(self.angles))
        height = float(np.cos(self.angles).sum())
        return self._see(), height, height < -1.8, False, {}

    def _see(self):
        return np.concatenate([np.cos(self.angles), np.sin(self.angles)]).astype(np.float32)


gym.register("lab/Cart-v0", Cart, max_episode_steps=100)
gym.register("lab/Arm-v0", Arm, max_episode_steps=50)


def heavy_cart():
    """Make the same environment with other arguments; any function that makes an environment can be a task."""
    return gym.make("lab/Cart-v0", mass=3.0)


@register_task_set("lab")
def lab(**options):
    """Make a task set of two carts and an arm, which differ in spaces, lengths and success rules."""
    environments = {"cart": "lab/Cart-v0", "heavy_cart": heavy_cart, "arm": "lab/Arm-v0"}
    success = {"cart": "at_mark", "heavy_cart": "at_mark", "arm": None}
    return TaskSet.from_gymnasium(environments, success=success, **options)


@register("softest")
class Softest(Balancer):
    """Weights that favour tasks with small gradients: w = softmax(-temperature log of the norms)."""

    paper = "Doe, An example balancer, 2030"

    def __init__(self, num_tasks: int, *, seed: int = 0, temperature: float = 0.5):
        super().__init__(num_tasks, seed=seed)
        self.temperature = temperature

    def balance(self, gramian, losses=None):
        """Return the weights (..., K) for the Gram matrix (..., K, K) of the tasks' gradients."""
        norms = gramian.diagonal(dim1=-2, dim2=-1).clamp_min(1e-300).sqrt()
        return Balance(torch.softmax(-self.temperature * norms.log(), dim=-1), {})


@register_network("waves")
class Waves(torch.nn.Module):
    """Sines and cosines of a linear map of the input, and a hidden layer; the package adds the last layer."""

    def __init__(self, spec, extra, hidden, *, generator):
        super().__init__()
        self.frequencies = Linear(spec.observation_dim + extra, hidden.width, generator=generator)
        self.mix = Linear(2 * hidden.width, hidden.width, generator=generator)

    def forward(self, observations, *actions):
        """Map observations (K, B, O) and, in a critic, actions (K, B, A) to features (K, B, width)."""
        phases = self.frequencies(torch.cat([observations, *actions], dim=-1))
        return torch.relu(self.mix(torch.cat([phases.sin(), phases.cos()], dim=-1)))
