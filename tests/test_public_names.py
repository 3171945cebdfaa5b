"""The names that the packages offer: a change of them is a decision, made here and in the changelog."""

from __future__ import annotations

from importlib import import_module

import pytest

NAMES = {
    "mtrl_conic": """
        MTSAC Policy TaskSet __version__ make_task_set train
    """,
    "agents": """
        Agent Batch Policy Schedule Statistics TaskSpec register_agent
    """,
    "balancers": """
        Balance Balancer Combined ConstantBalancer Direction Gradients JacobianBalancer LossBalancer Outcome Proposal
        adam_state adam_step available check_options get label make options parse_methods register
    """,
    "envs": """
        Step Stepper Task TaskSet TaskSetConfig Untraceable available_task_sets check_task_set draw_goals
        make_task_set register_task_set task_names why_untraceable
    """,
    "evaluation": """
        Evaluation Evaluator expert_policy random_policy
    """,
    "execution": """
        COMPILED_AFTER Compiled CudaGraph Eager Stopwatch choose_device make_execution
    """,
    "gradients": """
        Factors LayerNorm Layout Linear SharedLayer TaskEmbedding TaskGradients TaskLayer TaskLayerNorm
        TaskLinear backward task_gradients
    """,
    "networks": """
        Actor Critic Hidden Network available check_options choose get options register_network
    """,
    "training": """
        Callback Interrupted Replay Run TensorBoard Trainer TrainingConfig make_recorders
    """,
}


@pytest.mark.parametrize("package", NAMES)
def test_the_names_of_a_package(package: str) -> None:
    module = import_module("mtrl_conic" if package == "mtrl_conic" else f"mtrl_conic.{package}")
    assert sorted(module.__all__) == sorted(NAMES[package].split())
    assert all(getattr(module, name) is not None for name in module.__all__)
