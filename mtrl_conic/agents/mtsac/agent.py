"""Multi-task soft actor-critic, whose shared gradients go through a balancer."""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from typing_extensions import Self

from mtrl_conic import balancers
from mtrl_conic.agents.mtsac.average import Average
from mtrl_conic.agents.mtsac.component import Component
from mtrl_conic.agents.mtsac.config import AgentConfig
from mtrl_conic.agents.mtsac.losses import actor_losses, critic_losses
from mtrl_conic.agents.mtsac.saved import read_agent, write_agent
from mtrl_conic.agents.mtsac.temperatures import Temperatures
from mtrl_conic.agents.normalisation.observations import ObservationScale
from mtrl_conic.agents.normalisation.returns import ReturnScale
from mtrl_conic.agents.policy import Policy
from mtrl_conic.agents.protocol import Batch, Schedule, Statistics
from mtrl_conic.envs.given import as_task_set
from mtrl_conic.envs.spec import TaskSpec, as_tensor
from mtrl_conic.errors import UserError
from mtrl_conic.execution.choice import make_execution
from mtrl_conic.execution.device import choose_device, fast_precision
from mtrl_conic.execution.eager import Eager
from mtrl_conic.gradients import TaskGradients
from mtrl_conic.gradients.ways import Losses
from mtrl_conic.networks.actor_critic import Actor, Critic, in_trunk
from mtrl_conic.networks.flat import flatten, track
from mtrl_conic.networks.gaussian import Gaussian, squashed_sample
from mtrl_conic.networks.registry import MakeTrunk, Network, choose
from mtrl_conic.networks.values import make_value
from mtrl_conic.schema import parse

if TYPE_CHECKING:
    from mtrl_conic.envs import TaskSet


_COMPARED_EVERY = 10
"""Updates of which one measures norms and cosines where the balancer has no use for them: they cost 5 to 17 % of it."""


def make_networks(
    spec: TaskSpec, config: AgentConfig, network: Network, generator: torch.Generator
) -> tuple[Critic, Actor]:
    """The untrained networks of an agent, on torch's default device.

    Args:
        spec: of the tasks.
        config: of the agent.
        network: the one that it chooses.
        generator: of the initial values, on the CPU.
    """
    value, log_std_range = make_value(config), (config.log_std_min, config.log_std_max)
    critic = Critic(spec, network, config.critic_layers, value=value, twins=config.twins, generator=generator)
    return critic, Actor(spec, network, config.actor_layers, log_std_range=log_std_range, generator=generator)


class MTSAC:
    """Soft actor-critic (Haarnoja et al., 2018) for K tasks: a loss and a temperature per task.

    The gradients of each task's critic and actor loss with respect to the shared parameters are combined by
    a balancer, one per component with a state of its own. Temperatures and heads get their own plain gradient.

    Args:
        envs: the task set to learn on, or its name; or just its spec.
        balancer: a name from `balancers.available()`.
        balancer_options: the balancer's own options.
        network: in the place of `config.network`, a name, or a class or function that makes trunks, see
            `mtrl_conic.networks.registry.MakeTrunk`; one that is not registered is to be given to `load` again.
        seed: of the initial values, the exploration and the balancers; None draws one.
        device: `auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1`, ...
        execution: how updates are carried out, see `mtrl_conic.execution`; None: eager, and on a processor with a
            C++ compiler compiled once that pays.
        config: every constant of the agent; or give single fields by name instead.

    Raises:
        UserError: an unknown name, or a value out of range.
    """

    def __init__(
        self,
        envs: TaskSet | TaskSpec | str | Sequence[str],
        *,
        balancer: str = "conicgrad",
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
        self.config = config or parse(AgentConfig, fields)
        self.network = choose(network or self.config.network, self.config.network_options)
        self.config = self.config.model_copy(update={"network": self.network.name})
        if self.config.precision == "auto":
            self.config = self.config.model_copy(update={"precision": fast_precision(self.device)})
        self.seed = random.SystemRandom().randrange(2**32) if seed is None else seed
        self.balancer_name = balancer
        self.balancer_options = balancers.check_options(balancer, dict(balancer_options or {}))
        self.num_tasks = len(self.spec.task_names)
        self.execution = execution or make_execution(self.device)
        self.watch = self.execution.watch
        """Seconds of each part of the updates."""
        self._build()

    def _build(self) -> None:
        config = self.config
        mask = self.spec.action_mask(self.device)
        self._masks = () if mask is None else (mask,)
        """Of the actions, (K, 1, A): an input of the losses where tasks have actions of different sizes."""
        over = config.observation_scale
        self.observation_scale = None if over == "none" else ObservationScale(self.spec, over, self.device)
        self._make_networks(self.seed)
        self.temperatures = Temperatures(
            self.num_tasks,
            initial=config.initial_temperature,
            target_entropy=self._target_entropy(),
            learning_rate=config.temperature_learning_rate,
            device=self.device,
        )
        self.return_scale = ReturnScale(self.num_tasks, config.discount, config.return_limit, self.device)
        self.updates = 0
        """Made so far."""
        self._generator = torch.Generator(self.device).manual_seed(self.seed)

    def _target_entropy(self) -> float | Tensor:
        if self.config.target_entropy is not None:
            return self.config.target_entropy
        sizes = self.spec.action_dims
        return -float(self.spec.action_dim) if sizes is None else -torch.tensor(sizes, device=self.device).float()

    def _make_networks(self, seed: int) -> None:
        config = self.config
        critic, actor = make_networks(self.spec, config, self.network, torch.Generator().manual_seed(seed))
        critic, actor = critic.to(self.device), actor.to(self.device)
        self.target = copy.deepcopy(critic).requires_grad_(False)
        self._target_block = flatten(self.target)
        common: dict[str, Any] = {"learning_rate": config.learning_rate}
        if config.shared_parameters == "trunk":
            common["balanced"] = in_trunk
        decay, actor_decay = config.weight_decay, config.actor_weight_decay
        self.critic = Component("critic", critic, self._balancer("critic"), weight_decay=decay, **common)
        self._average = Average(actor, config.average_over) if config.average_over else None
        self.actor = Component("actor", actor, self._balancer("actor"), weight_decay=actor_decay, **common)
        scale = self.observation_scale
        acting = self.actor.network if self._average is None else self._average.network
        assert isinstance(acting, Actor)
        self._policy = Policy(self.spec, acting, None if scale is None else scale.standardize)
        self._actor_losses = partial(actor_losses, critic=self.critic.layout)
        if self.critic.balancer.waits or self.actor.balancer.waits:
            self.execution = self.execution.without_recording()
        self.execution.forget()

    def _balancer(self, component: str) -> balancers.Balancer:
        # Components draw different numbers: a shared seed would give both the same task order.
        seed = 2 * self.seed + (component == "actor")
        chosen = balancers.make(self.balancer_name, self.num_tasks, seed=seed, **self.balancer_options)
        left_out = self.config.balance not in ("both", component)
        # The actor's losses have no sign of their own.
        if left_out or (component == "actor" and chosen.positive_losses):
            chosen = balancers.make("ls", self.num_tasks, seed=seed)
        if self.device.type != "cpu":
            chosen.on_nonfinite = "skip"  # an error would wait for the device; the loss says the same at the next log
        return chosen

    # Learning.

    components = ("critic", "actor")

    @property
    def schedule(self) -> Schedule:
        """What the agent asks of the loop around it."""
        config = self.config
        return Schedule(config.batch_size, config.updates_per_step, config.random_steps, config.n_step, config.discount)

    def begin(self) -> None:
        """New episodes begin in all environments: no return runs on from the steps observed before."""
        self.return_scale.begin()

    def observe(
        self, observations: NDArray[np.float32], rewards: NDArray[np.float64], ended: NDArray[np.bool_]
    ) -> None:
        """Take note of a training step of the task set's N environments.

        Args:
            observations: (N, D), those that the step began with.
            rewards: (N,)
            ended: (N,), whether an episode ended with the step.
        """
        if self.observation_scale is not None:
            self.observation_scale.observe(observations)
        if self.config.reward_scale == "return":
            self.return_scale.observe(rewards, ended)

    def update(self, batch: Batch) -> Statistics:
        """One step of critic, actor, temperatures and target on a balanced batch (K, B, .)."""
        config, made = self.config, self.updates
        if config.reset_every and made and made % config.reset_every == 0:
            self._make_networks(self.seed + made)
        batch = batch._replace(
            observations=self._standardized(batch.observations),
            next_observations=self._standardized(batch.next_observations),
        )
        noises = torch.randn((2, *batch.actions.shape), generator=self._generator, device=self.device)
        compare, act = made % _COMPARED_EVERY == 0, made % config.actor_every == 0
        statistics = self.execution.update(self._update, batch, noises, made=made, compare=compare, act=act)
        self.updates += 1
        return statistics

    def _update(self, batch: Batch, noises: Tensor, *, compare: bool, act: bool) -> Statistics:
        next_noise, noise = noises
        temperature, factors = self.temperatures.log.detach().exp(), self.return_scale.factors
        targets = self.execution.call("targets", self._targets, batch, temperature, next_noise, factors)
        statistics = self._critic_step(batch, targets, compare) | {"temperature": temperature}
        if act:
            of_actor, log_density = self._actor_step(batch, noise, temperature, compare)
            self._temperature_step(log_density)
            statistics |= of_actor
        with self.watch("targets"):
            track(self._target_block, self.critic.block, self.config.target_rate)
        return statistics

    def _targets(self, batch: Batch, temperature: Tensor, noise: Tensor, factors: Tensor) -> Tensor:
        """Soft n-step targets (K, B), in the form that the critic's loss takes; `factors` (K, 1) scale the rewards."""
        actions, log_density = squashed_sample(self.actor.network(batch.next_observations), noise, *self._masks)
        values = self.target.values(batch.next_observations, actions) - temperature.unsqueeze(1) * log_density
        targets: Tensor = self.target.value.target(batch.rewards * factors + batch.discounts * values)
        return targets

    def _critic_step(self, batch: Batch, targets: Tensor, compare: bool) -> Statistics:
        inputs = batch.observations, batch.actions, targets
        statistics, values = self._step(self.critic, critic_losses, *inputs, compare=compare)
        return statistics | {"critic/value": values}

    def _actor_step(self, batch: Batch, noise: Tensor, temperature: Tensor, compare: bool) -> tuple[Statistics, Tensor]:
        inputs = batch.observations, noise, temperature, self.critic.layout.own_values(), *self._masks
        statistics, log_density = self._step(self.actor, self._actor_losses, *inputs, compare=compare)
        if self._average is not None:
            self._average.take(self.actor.block)
        return statistics | {"entropy": -log_density}, log_density

    def _temperature_step(self, log_density: Tensor) -> None:
        # The gradient of -log_alpha (log_density + target), each task's own.
        self.temperatures.log.grad = -(log_density + self.temperatures.target_entropy)
        self.execution.step(self.temperatures.optimizer)

    def _step(self, of: Component, losses: Losses, *inputs: Any, compare: bool) -> tuple[Statistics, Any]:
        """The seam: K losses, their gradients, one direction, one step of the optimiser."""
        compare = compare or of.balancer.compares_gradients
        gradients = self.execution.task_gradients(of.name, of.layout, losses, *inputs, compare=compare)
        with self.watch("balancing"):
            try:
                direction, decided = gradients.balance(of.balancer)
            except FloatingPointError as error:
                raise self._diverged(of, gradients) from error
            gradients.fill(of.network, direction)
        with self.watch(of.name):
            self.execution.step(of.optimizer)
        if of.balancer.observes:
            with self.watch("balancing"), torch.no_grad():
                of.balancer.observe(losses(of.network, *inputs)[0])
        return _told(of, gradients, decided, compare), gradients.extra

    def _diverged(self, of: Component, gradients: TaskGradients) -> FloatingPointError:
        unsound = ~(gradients.losses + gradients.gramian.diagonal()).isfinite()
        tasks = [name for name, is_ in zip(self.spec.task_names, unsound.tolist(), strict=True) if is_]
        return FloatingPointError(f"the {of.name}'s loss or gradient of {', '.join(tasks)} is not finite")

    # Acting.

    def policy(self) -> Policy:
        """What was learned so far, to act without exploration: of the actor, or of the average of its weights.

        It is a thing of its own, which further updates do not change, and tells where it comes from.
        """
        policy = copy.deepcopy(self._policy).requires_grad_(False).eval()
        policy.provenance = {
            "agent": type(self).__name__,
            "base": self.config.base,
            "balancer": self.balancer_name,
            "balancer_options": self.balancer_options,
            "seed": self.seed,
            "updates": self.updates,
            "config": self.config.model_dump(mode="json"),
        }
        return policy

    @torch.no_grad()
    def act(
        self, observations: ArrayLike | Tensor, *, task: str | None = None, deterministic: bool = False
    ) -> NDArray[np.float32]:
        """Actions in [-1, 1] for observations, as `Policy.act` takes and gives them; always an array.

        Args:
            observations: of all tasks, or of one.
            task: a task's name.
            deterministic: as `policy` acts, instead of a sample of the actor.
        """
        given = as_tensor(observations)
        rows = self.spec.rows(given, task).to(self.device)
        if deterministic:
            actions = self._policy(rows)
        else:
            gaussian: Gaussian = self.actor.network(self._standardized(rows))
            noise = torch.randn(gaussian.mean.shape, generator=self._generator, device=self.device)
            actions, _ = squashed_sample(gaussian, noise, *self._masks)
        result: NDArray[np.float32] = self.spec.shaped(actions, given, task).cpu().numpy()
        return result

    def random_actions(self, rows: int = 1) -> NDArray[np.float32]:
        """Uniform actions in [-1, 1], (K B, A), where B is `rows`."""
        shape = (self.num_tasks, rows, self.spec.action_dim)
        uniform = torch.rand(shape, generator=self._generator, device=self.device)
        uniform = 2 * uniform - 1
        for mask in self._masks:
            uniform *= mask
        actions: NDArray[np.float32] = uniform.flatten(0, 1).cpu().numpy()
        return actions

    def _standardized(self, rows: Tensor) -> Tensor:
        return rows if self.observation_scale is None else self.observation_scale.standardize(rows)

    # State.

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next update or action depends on."""
        return {
            "critic": self.critic.state_dict(),
            "actor": self.actor.state_dict(),
            "target": self.target.state_dict(),
            "average": self._average and self._average.state_dict(),
            "temperatures": self.temperatures.state_dict(),
            "return_scale": self.return_scale.state_dict(),
            "observation_scale": self.observation_scale and self.observation_scale.state_dict(),
            "updates": self.updates,
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from a `state_dict` of an agent of the same configuration."""
        self.critic.load_state_dict(saved["critic"])
        self.actor.load_state_dict(saved["actor"])
        self.target.load_state_dict(saved["target"])
        if self._average is not None:
            self._average.load_state_dict(saved["average"])
        self.temperatures.load_state_dict(saved["temperatures"])
        self.return_scale.load_state_dict(saved["return_scale"])
        if self.observation_scale is not None:
            self.observation_scale.load_state_dict(saved["observation_scale"])
        self.updates = saved["updates"]
        self._generator.set_state(saved["generator"].cpu())
        self.execution.forget()  # optimisers take over the tensors that they are given

    def save(self, path: str | Path) -> None:
        """Write the agent to one file, whole or not at all: everything but the replay.

        Raises:
            UserError: it cannot be written; what was there before is still there.
        """
        made = {"balancer": self.balancer_name, "balancer_options": self.balancer_options, "seed": self.seed}
        saved = {"spec": asdict(self.spec), "config": self.config.model_dump(), **made, "state": self.state_dict()}
        write_agent(Path(path), saved)

    @classmethod
    def load(
        cls,
        path: str | Path,
        envs: TaskSet | None = None,
        *,
        network: MakeTrunk | None = None,
        device: str = "auto",
    ) -> Self:
        """The agent that `save` wrote. Nothing is unpickled but tensors and numbers.

        Args:
            path: of the file.
            envs: to go on learning on.
            network: what makes its trunks, where that is not registered.
            device: as of a new agent.

        Raises:
            UserError: there is none, the file is another one, or `envs` are of other tasks.
        """
        saved = read_agent(Path(path))
        spec = TaskSpec.read(saved["spec"])
        if envs is not None and TaskSpec.of(envs) != spec:
            raise UserError(f"the agent at {path} was trained on other tasks or sizes: {', '.join(spec.task_names)}")
        agent = cls(
            envs if envs is not None else spec,
            balancer=saved["balancer"],
            balancer_options=saved["balancer_options"],
            network=network,
            seed=saved["seed"],
            device=device,
            config=parse(AgentConfig, saved["config"], where=str(path)),
        )
        agent.load_state_dict(saved["state"])
        return agent


def _told(of: Component, gradients: TaskGradients, decided: Statistics, compare: bool) -> Statistics:
    told = {"loss": gradients.losses}
    if compare:
        norms = gradients.gramian.diagonal().sqrt()
        told["gradient_norm"] = norms
        told["cosine"] = gradients.gramian / torch.outer(norms, norms).clamp_min(torch.finfo(norms.dtype).tiny)
    for name, value in decided.items():
        told[name if name == "weight" else f"{of.balancer.name}_{name}"] = value
    return {f"{of.name}/{name}": value for name, value in told.items()}
