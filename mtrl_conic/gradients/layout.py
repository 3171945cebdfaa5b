"""The layout of a module's parameters: where they are, and whether they are shared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mtrl_conic.gradients.factors import Uses
from mtrl_conic.gradients.layers import SharedLayer, TaskLayer

Place = tuple[nn.Module, str]
"""A layer and the name of a parameter in it."""


class Layout:
    """The layout of a module's parameters, determined once and used at every step.

    Args:
        module: the module; parameters of a `TaskLayer` belong to one task each, all others are shared. The layout is
            valid until a layer or parameter is replaced; values may change.
        balanced: predicate on the name of a shared parameter: whether a balancer combines its gradients. By default it
            combines all.
    """

    def __init__(self, module: nn.Module, balanced: Callable[[str], bool] = lambda name: True) -> None:
        own_names = _own_names(module)
        places = _places(module)
        self.module = module
        self.shared = {name: places[name] for name in places if name not in own_names}
        """Name of a shared parameter -> every layer and attribute that holds it, more than one where it is tied."""
        self.own = {name: places[name] for name in places if name in own_names}
        """The same of the parameters of task layers."""
        self.balanced = {name for name in self.shared if balanced(name)}
        """Names of the shared parameters that a balancer combines."""
        self._factored = {name: found for name, places in self.shared.items() if (found := _factored_layers(places))}
        self._of_this_package = _is_of_this_package(module)
        self._batch_norms = [each for each in module.modules() if isinstance(each, _BatchNorm)]
        self.mappable = not any(isinstance(each, nn.RNNBase) for each in module.modules())
        """Whether `torch.func` can map the module over tasks, as far as is known."""

    @property
    def native(self) -> bool:
        """Whether all parameters are in layers of this package and no layer mixes rows: one backward pass suffices."""
        return self._of_this_package and not any(
            each.training or each.running_mean is None for each in self._batch_norms
        )

    @property
    def normalises_batches(self) -> bool:
        """Whether a batch normalisation takes its statistics from the rows that it gets, in evaluation mode too."""
        return any(each.running_mean is None for each in self._batch_norms)

    def trains(self, name: str) -> bool:
        """Return whether a parameter requires a gradient."""
        return _value((self.shared | self.own)[name]).requires_grad

    def shared_values(self) -> dict[str, Tensor]:
        """Name -> shared parameter, detached."""
        return {name: _value(places).detach() for name, places in self.shared.items()}

    def own_values(self) -> dict[str, Tensor]:
        """Name -> parameter of a task layer, (K, *S), detached."""
        return {name: _value(places).detach() for name, places in self.own.items()}

    def all_values(self) -> dict[str, Tensor]:
        """Name -> parameter, detached."""
        return self.shared_values() | self.own_values()

    @contextmanager
    def swapped(self, values: dict[str, Tensor]) -> Iterator[None]:
        """Replace the module's parameters by these tensors until the block ends.

        `torch.func.functional_call` does the same, with checks that cost more than a small layer.
        """
        all_places = self.shared | self.own
        kept = {name: _value(all_places[name]) for name in values}
        try:
            _put(all_places, values)
            yield
        finally:
            _put(all_places, kept)

    @contextmanager
    def factored(self, *, always: bool) -> Iterator[dict[str, Uses]]:
        """Collect, by name of a shared weight, the factors that the backward passes of this block store for it."""
        uses = {name: Uses(always) for name in self._factored}
        try:
            _leave_factors(self._factored, uses)
            yield uses
        finally:
            _leave_factors(self._factored, dict.fromkeys(uses))


def _places(module: nn.Module) -> dict[str, list[Place]]:
    by_parameter: dict[nn.Parameter, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        by_parameter.setdefault(parameter, []).append(name)
    return {names[0]: [_place(module, name) for name in names] for names in by_parameter.values()}


def _place(module: nn.Module, name: str) -> Place:
    prefix, _, attribute = name.rpartition(".")
    return module.get_submodule(prefix), attribute


def _value(places: list[Place]) -> nn.Parameter:
    layer, attribute = places[0]
    value = layer._parameters[attribute]
    assert value is not None
    return value


def _put(all_places: dict[str, list[Place]], values: Mapping[str, Tensor]) -> None:
    for name, value in values.items():
        for layer, attribute in all_places[name]:
            layer._parameters[attribute] = value  # type: ignore[assignment]  # any tensor serves in a forward


def _is_of_this_package(module: nn.Module) -> bool:
    return all(
        isinstance(child, SharedLayer | TaskLayer) or not list(child.parameters(recurse=False))
        for child in module.modules()
    )


def _own_names(module: nn.Module) -> set[str]:
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, child in module.named_modules()
        if isinstance(child, TaskLayer)
        for name, _ in child.named_parameters()
    }


def _factored_layers(places: list[Place]) -> list[SharedLayer]:
    return [
        layer
        for layer, attribute in places
        if isinstance(layer, SharedLayer) and layer.leaves_factors and attribute == "weight"
    ]


def _leave_factors(layers: dict[str, list[SharedLayer]], uses: Mapping[str, Uses | None]) -> None:
    for name, of_name in layers.items():
        for layer in of_name:
            layer.uses = uses[name]
