"""What the kernel has to know of each task: where its object is read and what its episodes fix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Place:
    """A named body, geom or site whose position is read each step."""

    kind: Literal["body", "geom", "site"]
    name: str


@dataclass(frozen=True)
class TaskSpec:
    """How a Meta-World task is read.

    `number` is the reward's in the kernel. The object's position is `object` plus `offset`; its
    orientation is that of `rotation` (a body's quaternion as w, x, y, z; a geom's or a site's matrix
    as the quaternion x, y, z, w, as Meta-World's own classes do), or zeros. `points` are further sites and
    `joint` the joint that the reward reads; `constants` are the attributes of Meta-World's environment
    that an episode fixes, beside target, object's and fingers' first positions. `grasped` is the geom
    whose contact with both fingers counts as a grasp.
    """

    number: int
    object: Place
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rotation: Place | None = None
    points: tuple[str, ...] = ()
    joint: str | None = None
    constants: tuple[str, ...] = ()
    grasped: str | None = None


REACH, PUSH, PICK_PLACE, DOOR_OPEN, DRAWER_OPEN, DRAWER_CLOSE, BUTTON_TOPDOWN, PEG_SIDE, WINDOW_OPEN, WINDOW_CLOSE = (
    range(10)
)

_PUCK = Place("body", "obj")
_PUCK_GEOM = Place("geom", "objGeom")
_DRAWER = Place("body", "drawer_link")
_HANDLE = Place("geom", "handle")
_BUTTON = Place("body", "button")
_PEG = Place("site", "pegGrasp")

TASKS = {
    "reach-v3": TaskSpec(REACH, _PUCK, rotation=_PUCK_GEOM, constants=("hand_init_pos",)),
    "push-v3": TaskSpec(PUSH, _PUCK, rotation=_PUCK_GEOM, grasped="objGeom"),
    "pick-place-v3": TaskSpec(PICK_PLACE, _PUCK, rotation=_PUCK_GEOM, grasped="objGeom"),
    "door-open-v3": TaskSpec(DOOR_OPEN, _HANDLE, rotation=_HANDLE, joint="doorjoint"),
    "drawer-open-v3": TaskSpec(DRAWER_OPEN, _DRAWER, offset=(0.0, -0.16, 0.0), rotation=_DRAWER),
    "drawer-close-v3": TaskSpec(DRAWER_CLOSE, _DRAWER, offset=(0.0, -0.16, 0.05)),
    "button-press-topdown-v3": TaskSpec(
        BUTTON_TOPDOWN, _BUTTON, offset=(0.0, 0.0, 0.193), rotation=_BUTTON, constants=("_obj_to_target_init",)
    ),
    "peg-insert-side-v3": TaskSpec(
        PEG_SIDE,
        _PEG,
        rotation=_PEG,
        points=(
            "pegHead",
            "bottom_right_corner_collision_box_1",
            "top_left_corner_collision_box_1",
            "bottom_right_corner_collision_box_2",
            "top_left_corner_collision_box_2",
        ),
        constants=("peg_head_pos_init",),
    ),
    "window-open-v3": TaskSpec(WINDOW_OPEN, Place("site", "handleOpenStart"), constants=("window_handle_pos_init",)),
    "window-close-v3": TaskSpec(WINDOW_CLOSE, Place("site", "handleCloseStart"), constants=("window_handle_pos_init",)),
}
"""The tasks that have a kernel, by Meta-World's names."""
