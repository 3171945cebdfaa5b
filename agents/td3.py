"""An example of your own agent: twin delayed deterministic policy gradient (TD3; Fujimoto et al., 2018) for K tasks,
whose shared gradients are combined by a balancer. Copy this file and replace the algorithm by yours.

    mtrl-conic train own --import agents/td3.py --algorithm td3 --balancer pcgrad --task-set gymnasium:Pendulum-v1 ...

or in Python:

    agent = TD3(TaskSpec.of(envs), balancer="pcgrad")
    Trainer(envs, agent).train(steps=10_000)
"""

import copy
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from mtrl_conic import balancers
from mtrl_conic.agents import Schedule, register_agent
from mtrl_conic.envs.spec import as_tensor
from mtrl_conic.execution import Stopwatch
from mtrl_conic.gradients import Linear, task_gradients

TRACKING_RATE = 0.005
EXPLORATION, SMOOTHING, DELAY = 0.1, 0.2, 2


class Actor(nn.Module):
    """Maps observations (K, B, D) to actions (K, B, A) in [-1, 1]; padded entries of a task's actions are 0."""

    def __init__(self, spec, width, generator):
        super().__init__()
        self.layers = mlp(spec.observation_dim, width, spec.action_dim, generator)
        self.mask = spec.action_mask()

    def forward(self, observations):
        """Compute the actions of all tasks by one network."""
        actions = self.layers(observations).tanh()
        return actions if self.mask is None else actions * self.mask


class Critic(nn.Module):
    """Maps observations and actions to the values of two networks, (2, K, B)."""

    def __init__(self, spec, width, generator):
        super().__init__()
        inputs = spec.observation_dim + spec.action_dim
        self.twins = nn.ModuleList(mlp(inputs, width, 1, generator) for _ in range(2))

    def forward(self, observations, actions):
        """Compute the values of both networks for the same rows."""
        rows = torch.cat([observations, actions], dim=-1)
        return torch.stack([twin(rows).squeeze(-1) for twin in self.twins])


def mlp(inputs, width, outputs, generator):
    """Make a network of the package's layers, so that one backward pass gives the gradients of all tasks.

    Other layers work too, at a higher cost.
    """
    sizes = [(inputs, width), (width, width)]
    hidden = [layer for size in sizes for layer in (Linear(*size, generator=generator), nn.ReLU())]
    return nn.Sequential(*hidden, Linear(width, outputs, generator=generator))


class Policy:
    """Acts like the agent at the time when the policy was made."""

    def __init__(self, spec, actor):
        self.spec, self.actor = spec, copy.deepcopy(actor)

    @torch.no_grad()
    def act(self, observations, *, task=None):
        """Return the actions for one or more observations of all tasks, or of one task; see `TaskSpec.rows`."""
        given = as_tensor(observations)
        return self.spec.shaped(self.actor(self.spec.rows(given, task)), given, task).numpy()


@register_agent("td3")
class TD3:
    """Implements `mtrl_conic.agents.Agent`, whose docstrings say what each method must do.

    The arguments are those of every agent, followed by the agent's own options: `--algorithm-options width=32`.
    """

    components = ("critic", "actor")
    device = torch.device("cpu")
    schedule = Schedule(batch_size=64, random_steps=200)

    def __init__(
        self,
        spec,
        *,
        balancer="ls",
        balancer_options=None,
        seed=0,
        device=None,
        width: Annotated[int, Field(ge=1, description="width of the hidden layers")] = 64,
        learning_rate: Annotated[float, Field(gt=0, description="learning rate of all optimisers")] = 1e-3,
    ):
        self.spec, self.seed, self.updates, self.watch = spec, seed, 0, Stopwatch()
        self.generator = torch.Generator().manual_seed(seed)
        self.networks = {"critic": Critic(spec, width, self.generator), "actor": Actor(spec, width, self.generator)}
        self.targets = copy.deepcopy(self.networks)
        self.optimizers = {
            name: torch.optim.Adam(network.parameters(), lr=learning_rate) for name, network in self.networks.items()
        }
        options = balancer_options or {}
        self.balancers = {name: balancers.make(balancer, len(spec.task_names), **options) for name in self.components}

    def update(self, batch):
        """Update the critics, and at every other update the actor and the targets."""
        with torch.no_grad():
            actions = self.targets["actor"](batch.next_observations)
            actions = (actions + (SMOOTHING * self._normal(actions.shape)).clamp(-0.5, 0.5)).clamp(-1, 1)
            values = self.targets["critic"](batch.next_observations, actions).amin(0)
            targets = batch.rewards + batch.discounts * values
        statistics = self._step("critic", critic_losses, batch.observations, batch.actions, targets)
        if self.updates % DELAY == 0:
            statistics |= self._step("actor", self._actor_losses, batch.observations)
            self._track()
        self.updates += 1
        return statistics

    def _step(self, name, losses, *inputs):
        """Compute the K losses and their gradients, combine these by the balancer, and make a step of the optimiser."""
        with self.watch(name):
            gradients = task_gradients(self.networks[name], losses, *inputs)
            decided = gradients.write(self.networks[name], self.balancers[name])
            self.optimizers[name].step()
        return {f"{name}/{key}": value for key, value in {"loss": gradients.losses, **decided}.items()}

    def _actor_losses(self, actor, observations):
        return -self.networks["critic"](observations, actor(observations))[0].mean(-1), {}

    @torch.no_grad()
    def _track(self):
        for name, network in self.networks.items():
            for target, source in zip(self.targets[name].parameters(), network.parameters(), strict=True):
                target.lerp_(source, TRACKING_RATE)

    def policy(self):
        """Return the policy to evaluate, which further updates do not change."""
        return Policy(self.spec, self.networks["actor"])

    @torch.no_grad()
    def act(self, observations, *, task=None, deterministic=False):
        """Return the actor's actions, with noise unless `deterministic`."""
        given = as_tensor(observations)
        actions = self.networks["actor"](self.spec.rows(given, task))
        if not deterministic:
            actions = (actions + EXPLORATION * self._normal(actions.shape)).clamp(-1, 1)
        return self.spec.shaped(actions, given, task).numpy()

    def random_actions(self, rows=1):
        """Return uniformly random actions, with which the replay is filled before learning starts."""
        shape = (len(self.spec.task_names) * rows, self.spec.action_dim)
        return (2 * torch.rand(shape, generator=self.generator) - 1).numpy()

    def begin(self):
        """Do nothing at the start of an episode, because no state is kept within episodes."""

    def observe(self, observations, rewards, ended):
        """Do nothing after a step, because the agent learns only from batches."""

    def state_dict(self):
        """Return everything that the next update depends on, including the generator."""
        return {part: {k: v.state_dict() for k, v in getattr(self, part).items()} for part in PARTS} | {
            "updates": self.updates,
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, saved):
        """Continue from the result of `state_dict`."""
        for part in PARTS:
            for name, thing in getattr(self, part).items():
                thing.load_state_dict(saved[part][name])
        self.updates = saved["updates"]
        self.generator.set_state(saved["generator"])

    def _normal(self, shape):
        return torch.randn(shape, generator=self.generator)


PARTS = ("networks", "targets", "optimizers", "balancers")


def critic_losses(critic, observations, actions, targets):
    """Return the losses of the tasks, (K,), and no statistics."""
    return (critic(observations, actions) - targets).square().mean(-1).sum(0), {}
