"""The training loop with its replay, callbacks and recorders."""

from typing import TYPE_CHECKING

from mtrl_conic._lazy import lazy

if TYPE_CHECKING:
    from mtrl_conic.errors import Interrupted as Interrupted
    from mtrl_conic.training.callbacks import Callback as Callback
    from mtrl_conic.training.callbacks import TensorBoard as TensorBoard
    from mtrl_conic.training.config import TrainingConfig as TrainingConfig
    from mtrl_conic.training.recorders import make_recorders as make_recorders
    from mtrl_conic.training.replay import Replay as Replay
    from mtrl_conic.training.run import Run as Run
    from mtrl_conic.training.trainer import Trainer as Trainer

__all__ = ["Callback", "Interrupted", "Replay", "Run", "TensorBoard", "Trainer", "TrainingConfig", "make_recorders"]

__getattr__ = lazy(
    __name__,
    {
        "Callback": "mtrl_conic.training.callbacks",
        "Interrupted": "mtrl_conic.errors",
        "Replay": "mtrl_conic.training.replay",
        "Run": "mtrl_conic.training.run",
        "TensorBoard": "mtrl_conic.training.callbacks",
        "Trainer": "mtrl_conic.training.trainer",
        "TrainingConfig": "mtrl_conic.training.config",
        "make_recorders": "mtrl_conic.training.recorders",
    },
)
