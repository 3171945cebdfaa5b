"""Multi-task soft actor-critic with a balancer for the shared gradients."""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from typing_extensions import Self

from mtrl_conic import balancers
from mtrl_conic.agents.mtsac.acting import Acting
from mtrl_conic.agents.mtsac.average import Average
from mtrl_conic.agents.mtsac.balancing import Balancing, Method
from mtrl_conic.agents.mtsac.component import Component
from mtrl_conic.agents.mtsac.config import AgentConfig
from mtrl_conic.agents.mtsac.losses import actor_losses, critic_losses
from mtrl_conic.agents.mtsac.making import make_component, make_networks, make_scales, make_temperatures, settled
from mtrl_conic.agents.mtsac.saved import SavedAgent, provenance
from mtrl_conic.agents.mtsac.state import load_state, state_of
from mtrl_conic.agents.policy import Policy
from mtrl_conic.agents.protocol import Batch, Schedule, Statistics
from mtrl_conic.envs.given import as_task_set
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError
from mtrl_conic.execution.choice import make_execution
from mtrl_conic.execution.device import choose_device
from mtrl_conic.execution.eager import Eager
from mtrl_conic.execution.seeding import restore, seeded
from mtrl_conic.gradients import TaskGradients
from mtrl_conic.gradients.calls import Losses
from mtrl_conic.networks.actor_critic import Actor
from mtrl_conic.networks.flat import Buffers, flatten, track
from mtrl_conic.networks.gaussian import squashed_sample
from mtrl_conic.networks.registry import MakeTrunk

if TYPE_CHECKING:
    from mtrl_conic.envs import TaskSet

Tasks = list[int] | None
"""The tasks that a batch has rows of; None for all tasks."""
_COMPARED_EVERY = 10
"""Number of updates per measurement of gradient norms and cosines, which cost 5 to 17 % of an update. A balancer that
needs them measures them in every update."""
_SEEDS = 2**32
_PARTS = ("critic", "actor", "target", "average", "temperatures", "return_scale", "reward_scale", "observation_scale")
"""The parts with a state that persists between updates, besides the number of updates and the generator."""


class MTSAC:
    """Soft actor-critic (Haarnoja et al., 2018) for K tasks, with a loss and a temperature per task.

    A balancer combines the gradients of the tasks' losses with respect to the shared parameters. The critic and the
    actor have separate balancers of the same method. Temperatures and heads follow the gradients of their own tasks.

    Args:
        envs: the task set to learn on, its name, or its spec.
        balancer: a name from `balancers.available()`, a class, or an instance, of which each component gets a copy in
            the initial state. An instance or an unregistered class must be passed to `load` again.
        balancer_options: options of the balancer.
        network: a network that replaces `config.network`: a name, or a class or function that makes trunks, see
            `mtrl_conic.networks.registry.MakeTrunk`. One that is not registered must be passed to `load` again.
        seed: seed of the initial values, the exploration and the balancers; None draws one.
        device: `auto` (a GPU if there is one), `cpu`, `cuda`, `cuda:1`, ...
        execution: the way updates are executed, see `mtrl_conic.execution`. None: recorded on a GPU, and on a CPU
            with a C++ compiler compiled as soon as that pays.
        config: the complete configuration of the agent.
        fields: single fields of the configuration, if `config` is None.

    Raises:
        UserError: a name is unknown, or a value is out of range.
    """

    def __init__(
        self,
        envs: TaskSet | TaskSpec | str | Sequence[str],
        *,
        balancer: Method = "conicgrad",
        balancer_options: Mapping[str, Any] | None = None,
        network: str | MakeTrunk | None = None,
        seed: int | None = 0,
        device: str = "auto",
        execution: Eager | None = None,
        config: AgentConfig | None = None,
        **fields: Any,
    ) -> None:
        self.envs: TaskSet | None = None
        if not isinstance(envs, TaskSpec):
            self.envs = as_task_set(envs)
            envs = TaskSpec.of(self.envs)
        self.spec = envs
        self.device = choose_device(device)
        self.config, self.network = settled(config, fields, network, self.device)
        self.seed = random.SystemRandom().randrange(_SEEDS) if seed is None else seed
        if not 0 <= self.seed < _SEEDS:
            raise UserError(f"seed={seed}: must be a whole number from 0 to {_SEEDS - 1:,}")
        self.num_tasks = len(self.spec.task_names)
        self.balancing = Balancing(
            balancer, balancer_options, self.spec.task_names, of=self.config.balance, seed=self.seed, device=self.device
        )
        self.execution = execution or make_execution(self.device)
        self._build()

    def _build(self) -> None:
        mask = self.spec.action_mask(self.device)
        self._masks = () if mask is None else (mask,)
        """The mask of the actions, (K, 1, A), if tasks have actions of different sizes."""
        self.observation_scale, self.return_scale, self.reward_scale = make_scales(self.spec, self.config, self.device)
        self._generator = torch.Generator(self.device).manual_seed(self.seed)
        self._make_networks(self.seed)
        self.temperatures = make_temperatures(self.spec, self.config, self.device)
        self.updates = 0
        """The number of updates so far."""

    def _make_networks(self, seed: int) -> None:
        config = self.config
        critic, actor = make_networks(self.spec, config, self.network, torch.Generator().manual_seed(seed))
        critic, actor = critic.to(self.device), actor.to(self.device)
        self.target = copy.deepcopy(critic).requires_grad_(False)
        self._target_block, self._target_buffers = flatten(self.target), Buffers(critic, self.target)
        self.critic = make_component(critic, config, self.balancing.make("critic"))
        self.average = Average(actor, config.average_over) if config.average_over else None
        self.actor = make_component(actor, config, self.balancing.make("actor"))
        scale = self.observation_scale
        acting = actor if self.average is None else self.average.network
        assert isinstance(acting, Actor)
        self._policy = Policy(self.spec, acting, None if scale is None else scale.standardize)
        self._acting = Acting(self.spec, actor, self._standardized, self._policy, self._generator)
        self._has_errors = config.priority_exponent > 0
        """Whether updates return the error of each row of the batch."""
        self._batches = max(of.balancer.batches for of in (self.critic, self.actor))
        """The number of independent batches in an update; each component uses as many as its balancer needs."""
        for needed, given in (("batch=balanced", config.batch == "uniform"), ("priority_exponent=0", self._has_errors)):
            if self._batches > 1 and given:
                raise UserError(f"{self.balancing.name} takes {self._batches} batches of all tasks: use {needed}")
        self._critic_losses = partial(critic_losses, errors=self._has_errors)
        self._actor_losses = partial(
            actor_losses, critic=self.critic.layout, first_critic=self.config.actor_twins == "first"
        )
        self._draws = actor.is_users
        """Whether the networks may draw random numbers, as those of a user with dropout do."""
        # Python code of a user that counts or branches would not be executed again when a recording is replayed.
        if actor.is_users or any(each.waits or each.is_users for each in (self.critic.balancer, self.actor.balancer)):
            self.execution = self.execution.without_recording()
        self.watch = self.execution.watch
        """The seconds of each part of the updates."""
        self.execution.forget()

    def __repr__(self) -> str:
        method, config = balancers.label(self.balancing.name, self.balancing.options), self.config
        network = f"{config.network} network of {config.depth} x {config.width}"
        return (
            f"{type(self).__name__}({len(self.spec.task_names)} tasks, {method}, {config.base} base, {network}, "
            f"{self.device}, seed {self.seed}, {self.updates} updates)"
        )

    # Learning.

    components = ("critic", "actor")

    @property
    def schedule(self) -> Schedule:
        """The requirements of the agent on the training loop."""
        config = self.config
        return Schedule(
            config.batch_size * self._batches,
            config.batch == "balanced",
            config.updates_per_step,
            config.random_steps,
            config.n_step,
            config.discount,
            config.priority_exponent,
        )

    def begin(self) -> None:
        """Note that new episodes begin in all environments, so that no return continues from earlier steps."""
        self.return_scale.begin()

    def observe(
        self, observations: NDArray[np.float32], rewards: NDArray[np.float64], ended: NDArray[np.bool_]
    ) -> NDArray[np.float64] | None:
        """Observe a training step of the task set's N environments, see `Agent.observe`."""
        if self.observation_scale is not None:
            self.observation_scale.observe(observations)
        if self.config.reward_scale == "return":
            self.return_scale.observe(rewards, ended)
        return None if self.reward_scale is None else self.reward_scale.observe(rewards)

    def update(self, batch: Batch) -> Statistics:
        """Update the critic, the actor, the temperatures and the target network once, see `Agent.update`.

        A balancer that needs several independent batches takes them from one batch, with the rows of each side by side.
        """
        config, made = self.config, self.updates
        if config.reset_every and made and made % config.reset_every == 0:
            self._make_networks(self.seed + made)
        batch = batch.to(self.device)
        batch.check(self.spec)
        batch = batch._replace(
            observations=self._standardized(batch.observations),
            next_observations=self._standardized(batch.next_observations),
        )
        noises = torch.randn((2, *batch.actions.shape), generator=self._generator, device=self.device)
        kind = {"compare": made % _COMPARED_EVERY == 0, "act": made % config.actor_every == 0}
        present = batch.present() if batch.weights else None
        with seeded(self.device, self.seed, made) if self._draws else nullcontext():
            if present is None:
                statistics = self.execution.update(self._update, batch, noises, made=made, **kind)
            else:  # too rare a combination of tasks to be worth recording
                statistics = self._update(batch, noises, present=present, **kind)
        self.updates += 1
        return statistics

    def _update(self, batch: Batch, noises: Tensor, *, compare: bool, act: bool, present: Tasks = None) -> Statistics:
        next_noise, noise = noises
        temperature, factors = self.temperatures.log.detach().exp().expand(self.num_tasks), self.return_scale.factors
        targets = self.execution.call("targets", self._targets, batch, temperature, next_noise, factors)
        statistics = self._critic_step(batch, targets, compare, present) | {"temperature": temperature}
        if act:
            of_actor, log_density = self._actor_step(batch, noise, temperature, compare, present)
            self._temperature_step(log_density, *batch.weights)
            statistics |= of_actor
        with self.watch("targets"):
            track(self._target_block, self.critic.block, self.config.target_rate)
            self._target_buffers.take()
        return statistics

    def _targets(self, batch: Batch, temperature: Tensor, noise: Tensor, factors: Tensor) -> Tensor:
        """Return soft n-step targets as the critic's loss takes them; `factors` (K, 1) scale the rewards."""
        actions, log_density = squashed_sample(self.actor.network(batch.next_observations), noise, *self._masks)
        values = self.target.values(batch.next_observations, actions) - temperature.unsqueeze(1) * log_density
        targets: Tensor = self.target.value.target(batch.rewards * factors + batch.discounts * values)
        return targets

    def _critic_step(self, batch: Batch, targets: Tensor, compare: bool, present: Tasks = None) -> Statistics:
        rows, given = (batch.observations, batch.actions, targets), (batch.weights,)
        of = self._critic_losses
        statistics, told = self._step(self.critic, of, rows, *given, compare=compare, present=present)
        return {**statistics, **told}

    def _actor_step(
        self, batch: Batch, noise: Tensor, temperature: Tensor, compare: bool, present: Tasks
    ) -> tuple[Statistics, Tensor]:
        rows = batch.observations, noise
        given = temperature, self.critic.layout.own_values(), self._masks, batch.weights
        of = self._actor_losses
        statistics, log_density = self._step(self.actor, of, rows, *given, compare=compare, present=present)
        if self.average is not None:
            self.average.take(self.actor.block)
        return statistics | {"entropy": -log_density}, log_density

    def _temperature_step(self, log_density: Tensor, *weights: Tensor) -> None:
        self.temperatures.differentiate(log_density, *weights)
        self.execution.step(self.temperatures.optimizer)

    def _step(
        self, of: Component, losses: Losses, rows: tuple[Tensor, ...], *given: Any, compare: bool, present: Tasks
    ) -> tuple[Statistics, Any]:
        """Balance the gradients of the K task losses, and update a component in the resulting direction."""
        compare = compare or of.balancer.compares_gradients
        batches = of.batches(rows, self._batches)
        gradients = TaskGradients.joined(
            [self.execution.task_gradients(of.name, of.layout, losses, *b, *given, compare=compare) for b in batches]
        )
        if present is not None:
            gradients = gradients.among(present)
        with self.watch("balancing"):
            try:
                direction, decided = self.execution.balance(of.name, gradients, of.balancer)
            except FloatingPointError as error:
                raise of.diverged(gradients, self.spec.task_names) from error
            gradients.fill(of.network, direction)
        with self.watch(of.name):
            self.execution.step(of.optimizer)
        if of.balancer.observes:
            with self.watch("balancing"), torch.no_grad():
                of.balancer.observe(losses(of.network, *batches[0], *given)[0])
        return of.told(gradients, decided, compare), gradients.extra

    # Acting.

    def policy(self) -> Policy:
        """Return the current deterministic policy, of the actor or of the average of its weights.

        It is a copy with its provenance; further updates do not change it.
        """
        policy = copy.deepcopy(self._policy).requires_grad_(False).eval()
        policy.provenance = provenance(self)
        return policy

    def act(
        self, observations: ArrayLike | Tensor, *, task: str | None = None, deterministic: bool = False
    ) -> NDArray[np.float32]:
        """Return actions in [-1, 1] as an array, in the shapes of `Policy.act`.

        Args:
            observations: observations of all tasks; with `task`, only of that task.
            task: name of a task.
            deterministic: whether to act as `policy` does instead of sampling from the actor.

        Raises:
            UserError: an unknown task, another shape, or values that are not numbers.
        """
        return self._acting.act(observations, task, deterministic=deterministic)

    def random_actions(self, rows: int = 1) -> NDArray[np.float32]:
        """Return uniform actions in [-1, 1], (K B, A), where B is `rows`."""
        return self._acting.uniform(rows)

    def _standardized(self, rows: Tensor) -> Tensor:
        return rows if self.observation_scale is None else self.observation_scale.standardize(rows)

    # State.

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next update or action depends on."""
        return {**state_of(self, _PARTS), "updates": self.updates, "generator": self._generator.get_state()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from a `state_dict` of an agent with the same networks and tasks.

        Raises:
            UserError: the state is that of another agent.
        """
        missing = {"updates", "generator"} - saved.keys()
        if missing:
            raise UserError(f"this is the state of another agent: {min(missing)} is missing")
        load_state(self, _PARTS, saved)
        self.updates = saved["updates"]
        restore(self._generator, saved["generator"])
        self.execution.forget()  # loading replaces the tensors of the optimisers

    def save(self, path: str | Path) -> None:
        """Write the agent, without the replay, to one file.

        Raises:
            UserError: the file cannot be written; its previous content is kept.
        """
        SavedAgent.of(self).write(Path(path))

    @classmethod
    def load(cls, path: str | Path, envs: TaskSet | None = None, *, balancer: Method | None = None, **new: Any) -> Self:
        """Load an agent that `save` wrote. Only tensors and numbers are unpickled.

        Args:
            path: path of the file.
            envs: the task set on which learning continues.
            balancer: the balancer of the agent, if it was an instance or an unregistered class.
            new: `device` and `execution`, and `network` if it is not registered, as for a new agent.

        Raises:
            UserError: the file does not exist or contains something else, or the agent was trained on other tasks.
        """
        saved = SavedAgent.read(Path(path), balancer=balancer, tasks=None if envs is None else TaskSpec.of(envs))
        agent = cls(saved.spec if envs is None else envs, **saved.arguments(balancer), **new)
        try:
            agent.load_state_dict(saved.state)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        return agent
