"""The classic update written in JAX: one jitted function, without a balancer or with vmapped gradients and PCGrad.

It serves as a baseline in benchmarks and is not used otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtrl_conic.agents.mtsac.config import AgentConfig
from mtrl_conic.agents.protocol import Batch
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError

LEARNING_RATE, TARGET_RATE = 3e-4, 0.005
_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


class JaxMTSAC:
    """Multi-task SAC of the classic base, with networks, losses and Adam in plain JAX.

    Args:
        spec: names and sizes of the tasks.
        config: configuration of the classic base; its other options and other networks are not supported.
        balance: whether to compute the gradient of each task and combine them with PCGrad.
        threads: number of processor threads; only the first import of JAX in a process can set it to one.

    Raises:
        UserError: the configuration is not supported.
    """

    def __init__(self, spec: TaskSpec, config: AgentConfig, *, balance: bool, threads: int = 1) -> None:
        if config.base != "classic" or config.network != "shared":
            raise UserError("--peer jax measures the classic base with the shared network only")
        if threads == 1:
            os.environ.setdefault("XLA_FLAGS", _ONE_THREAD)
        self.num_tasks, self.balance = len(spec.task_names), balance
        generator = np.random.default_rng(0)
        width, depth = config.actor_width or config.width, config.actor_depth or config.depth
        inputs = spec.observation_dim + spec.action_dim
        critics = [_mlp(inputs, 1, config.width, config.depth, generator) for _ in range(2)]
        self.state: dict[str, Any] = {
            "critics": critics,
            "targets": critics,
            "actor": _mlp(spec.observation_dim, 2 * spec.action_dim, width, depth, generator),
            "temperature": jnp.zeros(self.num_tasks),
            "count": jnp.zeros(()),
        }
        for name in ("critics", "actor", "temperature"):
            zeros = jax.tree.map(jnp.zeros_like, self.state[name])
            self.state[f"{name}_moments"] = (zeros, zeros)
        self._key = jax.random.key(0)
        self._drawn = jax.jit(self._draw_and_step)

    def update(self, batch: Batch) -> None:
        """Take one step of critics, actor, temperatures and targets, and wait for it."""
        arrays = tuple(jnp.from_dlpack(part) if part.is_cuda else jnp.asarray(part.numpy()) for part in batch[:5])
        self.state, self._key = self._drawn(self.state, arrays, self._key)
        jax.block_until_ready(self.state)

    def _draw_and_step(self, state: Any, batch: Any, key: Any) -> Any:
        key, first, second, third = jax.random.split(key, 4)
        noise = (jax.random.normal(first, batch[1].shape), jax.random.normal(second, batch[1].shape))
        return self.step(state, batch, noise, jax.random.split(third, 2)), key

    def step(self, state: Any, batch: Any, noise: Any, keys: Any) -> Any:
        """Return the next state, given the noise (K, B, A) of the target's and the actor's actions."""
        observations, actions, rewards, discounts, following = batch
        temperature = jnp.exp(state["temperature"])[:, None]
        next_actions, log_density = _sample(state["actor"], following, noise[0])
        values = _value(state["targets"], following, next_actions) - temperature * log_density
        target = rewards + discounts * values

        def critic_loss(critics: Any, observations: Any, actions: Any, target: Any) -> Any:
            x = jnp.concatenate([observations, actions], -1)
            return sum(jnp.square(_apply(critic, x)[..., 0] - target).mean(-1) for critic in critics)

        def actor_loss(actor: Any, observations: Any, noise: Any, temperature: Any) -> Any:
            actions, log_density = _sample(actor, observations, noise)
            values = _value(state["critics"], observations, actions)
            return (temperature * log_density - values).mean(-1), log_density.mean(-1)

        count = state["count"] + 1
        state = dict(state, count=count)
        gradient, _ = self._combined(critic_loss, state["critics"], (observations, actions, target), keys[0], False)
        _adam(state, "critics", gradient)
        rows = (observations, noise[1], temperature)
        gradient, log_density = self._combined(actor_loss, state["actor"], rows, keys[1], True)
        _adam(state, "actor", gradient)
        _adam(state, "temperature", -(log_density - actions.shape[-1]))
        state["targets"] = jax.tree.map(_towards, state["targets"], state["critics"])
        return state

    def _combined(self, loss: Any, parameters: Any, rows: Any, key: Any, has_aux: bool) -> Any:
        """Return the combined gradient of the K losses, and the further results (K,)."""
        if not self.balance:

            def mean(parameters: Any) -> Any:
                losses = loss(parameters, *rows)
                return (losses[0].mean(), losses[1]) if has_aux else (losses.mean(), None)

            return jax.grad(mean, has_aux=True)(parameters)
        found = jax.vmap(jax.grad(loss, has_aux=has_aux), (None, *[0] * len(rows)))(parameters, *rows)
        gradients, aux = found if has_aux else (found, None)
        leaves, structure = jax.tree.flatten(gradients)
        flat = jnp.concatenate([leaf.reshape(self.num_tasks, -1) for leaf in leaves], 1)
        direction = pcgrad(flat, visits(key, self.num_tasks))
        parts = jnp.split(direction, np.cumsum([leaf[0].size for leaf in leaves])[:-1])
        shaped = [part.reshape(leaf.shape[1:]) for part, leaf in zip(parts, leaves, strict=True)]
        return jax.tree.unflatten(structure, shaped), aux


def visits(key: Any, num_tasks: int) -> Any:
    """Return for each task a random order of the others, (K, K - 1)."""
    others = np.array([[other for other in range(num_tasks) if other != task] for task in range(num_tasks)])
    return jax.vmap(jax.random.permutation)(jax.random.split(key, num_tasks), jnp.asarray(others))


def pcgrad(gradients: Any, order: Any) -> Any:
    """Return PCGrad's direction (P,) of gradients (K, P), for projections in the given order (K, K - 1).

    The projections are computed on coefficients from the Gram matrix, which takes less time than on the gradients.
    """
    gramian = gradients @ gradients.T
    tasks = jnp.arange(len(gradients))

    def visit(place: int, coefficients: Any) -> Any:
        others = order[:, place]
        products = (coefficients @ gramian)[tasks, others]
        return coefficients.at[tasks, others].add(-jnp.minimum(products, 0) / gramian[others, others])

    return jax.lax.fori_loop(0, order.shape[1], visit, jnp.eye(len(gradients))).mean(0) @ gradients


def _adam(state: dict[str, Any], name: str, gradient: Any) -> None:
    """Replace the parameters called `name` and their moments by those after a step of Adam."""
    first, second = state[f"{name}_moments"]
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
    rate = LEARNING_RATE / (1 - 0.9 ** state["count"])
    correction = jnp.sqrt(1 - 0.999 ** state["count"])
    state[name] = jax.tree.map(
        lambda p, m, v: p - rate * m / (jnp.sqrt(v) / correction + 1e-8), state[name], first, second
    )
    state[f"{name}_moments"] = (first, second)


def _towards(old: Any, new: Any) -> Any:
    return old + TARGET_RATE * (new - old)


def _sample(actor: Any, observations: Any, noise: Any) -> Any:
    """Return squashed actions (..., A) and their log densities (...)."""
    mean, log_std = jnp.split(_apply(actor, observations), 2, -1)
    log_std = jnp.clip(log_std, -20, 2)
    before = mean + jnp.exp(log_std) * noise
    squashing = 2 * (np.log(2) - before - jax.nn.softplus(-2 * before))
    density = -0.5 * jnp.square(noise) - log_std - 0.5 * np.log(2 * np.pi) - squashing
    return jnp.tanh(before), density.sum(-1)


def _value(critics: Sequence[Any], observations: Any, actions: Any) -> Any:
    x = jnp.concatenate([observations, actions], -1)
    return jnp.minimum(*(_apply(critic, x)[..., 0] for critic in critics))


def _apply(layers: Sequence[Any], x: Any) -> Any:
    for weight, bias in layers[:-1]:
        x = jax.nn.relu(x @ weight + bias)
    weight, bias = layers[-1]
    return x @ weight + bias


def _mlp(inputs: int, outputs: int, width: int, depth: int, generator: np.random.Generator) -> list[Any]:
    sizes = [inputs, *[width] * depth, outputs]
    bounds = [1 / np.sqrt(size) for size in sizes]
    return [
        (
            jnp.asarray(generator.uniform(-bound, bound, (rows, columns)), jnp.float32),
            jnp.asarray(generator.uniform(-bound, bound, columns), jnp.float32),
        )
        for bound, rows, columns in zip(bounds, sizes, sizes[1:], strict=False)
    ]
