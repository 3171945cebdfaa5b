"""The tasks that have a kernel, and their descriptions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Place:
    """A named body, geom or site whose position is read each step."""

    kind: Literal["body", "geom", "site"]
    name: str


@dataclass(frozen=True)
class Rotation:
    """An orientation to observe: that of a place, or a constant one if there is no place.

    Meta-World's classes observe the orientation of some bodies as the quaternion (w, x, y, z), and that of other
    bodies, geoms and sites as the quaternion (x, y, z, w) of a rotation matrix.
    """

    place: Place | None
    of_matrix: bool = False


@dataclass(frozen=True)
class TaskSpec:
    """The description of a Meta-World task for the kernel.

    Attributes:
        reward: name of its reward function, `file.function` in `mtrl_conic.envs.metaworld.fast.rewards`.
        object: place of the object. `offset` (m) is added to its position; with a `radius` (m), the position moves on
            a circle around the place by the angle of `joint`.
        rotation: observed orientation of the object; zeros without one.
        second: place of a second object, with its own offset and orientation.
        points: further places whose positions the reward reads.
        joint: the joint that the reward reads.
        constants: further attributes of Meta-World's environment that are constant in an episode, besides the target
            and the initial positions of object and fingers; -1 stands for an attribute that is None until the first
            step.
        grasped: the geom whose contact with both fingers counts as a grasp.
        held_for_success: whether success also requires this grasp.
    """

    reward: str
    object: Place
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    radius: float = 0.0
    rotation: Rotation | None = None
    second: Place | None = None
    second_offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    second_rotation: Rotation | None = None
    points: tuple[Place, ...] = ()
    joint: str | None = None
    constants: tuple[str, ...] = ()
    grasped: str | None = None
    held_for_success: bool = False

    @property
    def places(self) -> tuple[Place, ...]:
        """All places whose positions are read."""
        rotations = (rotation.place for rotation in (self.rotation, self.second_rotation) if rotation is not None)
        read = (self.object, self.second, *rotations, *self.points)
        return tuple(dict.fromkeys(place for place in read if place is not None))


def _body(name: str) -> Place:
    return Place("body", name)


def _geom(name: str) -> Place:
    return Place("geom", name)


def _site(name: str) -> Place:
    return Place("site", name)


_PUCK = _body("obj")
_PUCK_GEOM = _geom("objGeom")
_PUCK_MATRIX = Rotation(_PUCK_GEOM, of_matrix=True)
_PUCK_QUATERNION = Rotation(_PUCK)
_BUTTON = _body("button")
_BUTTON_ROTATION = Rotation(_BUTTON)
_BUTTON_TRAVEL = ("_obj_to_target_init",)
_HANDLE = _geom("handle")
_HANDLE_MATRIX = Rotation(_HANDLE, of_matrix=True)
_DOOR = Rotation(_body("door_link"))
_DRAWER = _body("drawer_link")
_FAUCET = Rotation(_body("faucetBase"))
_NUT_HANDLE = _site("RoundNut-8")
_NUT = Rotation(_body("RoundNut"))
_NUT_CENTRE = (_site("RoundNut"),)
_PEG = _site("pegGrasp")
_PEG_POINTS = (
    "pegHead",
    "bottom_right_corner_collision_box_1",
    "top_left_corner_collision_box_1",
    "bottom_right_corner_collision_box_2",
    "top_left_corner_collision_box_2",
)
_PLATE = _geom("puck")
_PLATE_MATRIX = Rotation(_PLATE, of_matrix=True)
_STICK = _body("stick")
_STICK_MATRIX = Rotation(_STICK, of_matrix=True)
_MUG_MATRIX = Rotation(_geom("mug"), of_matrix=True)
_BALL, _HAMMER, _NAIL, _LID = _body("soccer_ball"), _body("hammer"), _body("nail_link"), _body("top_link")

TASKS = {
    "assembly-v3": TaskSpec("pegs.assembly", _NUT_HANDLE, rotation=_NUT, points=_NUT_CENTRE),
    "basketball-v3": TaskSpec("placing.basketball", _body("bsktball"), rotation=Rotation(_body("bsktball"))),
    "bin-picking-v3": TaskSpec(
        "placing.bin_picking", _PUCK, rotation=_PUCK_QUATERNION, constants=("_target_to_obj_init",)
    ),
    "box-close-v3": TaskSpec("doors.box_close", _LID, rotation=Rotation(_LID)),
    "button-press-topdown-v3": TaskSpec(
        "buttons.button_press_topdown",
        _BUTTON,
        offset=(0.0, 0.0, 0.193),
        rotation=_BUTTON_ROTATION,
        constants=_BUTTON_TRAVEL,
    ),
    "button-press-topdown-wall-v3": TaskSpec(
        "buttons.button_press_topdown_wall",
        _BUTTON,
        offset=(0.0, 0.0, 0.193),
        rotation=_BUTTON_ROTATION,
        constants=_BUTTON_TRAVEL,
    ),
    "button-press-v3": TaskSpec(
        "buttons.button_press",
        _BUTTON,
        offset=(0.0, -0.193, 0.0),
        rotation=_BUTTON_ROTATION,
        constants=_BUTTON_TRAVEL,
    ),
    "button-press-wall-v3": TaskSpec(
        "buttons.button_press_wall",
        _BUTTON,
        offset=(0.0, -0.193, 0.0),
        rotation=_BUTTON_ROTATION,
        constants=_BUTTON_TRAVEL,
    ),
    "coffee-button-v3": TaskSpec("buttons.coffee_button", _site("buttonStart"), rotation=Rotation(None)),
    "coffee-pull-v3": TaskSpec("pushing.coffee_mug", _PUCK, rotation=_MUG_MATRIX, grasped="mug"),
    "coffee-push-v3": TaskSpec("pushing.coffee_mug", _PUCK, rotation=_MUG_MATRIX, grasped="mug"),
    "dial-turn-v3": TaskSpec(
        "turning.dial_turn",
        _body("dial"),
        radius=0.05,
        rotation=Rotation(_body("dial")),
        joint="knob_Joint_1",
        constants=("dial_push_position",),
    ),
    "disassemble-v3": TaskSpec("pegs.disassemble", _NUT_HANDLE, rotation=_NUT, points=_NUT_CENTRE),
    "door-close-v3": TaskSpec("doors.door_close", _HANDLE, rotation=_HANDLE_MATRIX, constants=("hand_init_pos",)),
    "door-lock-v3": TaskSpec("doors.door_lock", _site("lockStartLock"), rotation=_DOOR),
    "door-open-v3": TaskSpec("doors.door_open", _HANDLE, rotation=_HANDLE_MATRIX, joint="doorjoint"),
    "door-unlock-v3": TaskSpec(
        "doors.door_unlock", _site("lockStartUnlock"), rotation=_DOOR, points=(_body("lock_link"),)
    ),
    "drawer-close-v3": TaskSpec("sliding.drawer_close", _DRAWER, offset=(0.0, -0.16, 0.05)),
    "drawer-open-v3": TaskSpec("sliding.drawer_open", _DRAWER, offset=(0.0, -0.16, 0.0), rotation=Rotation(_DRAWER)),
    "faucet-close-v3": TaskSpec(
        "turning.faucet_close", _site("handleStartClose"), offset=(0.0, 0.0, -0.01), rotation=_FAUCET
    ),
    "faucet-open-v3": TaskSpec(
        "turning.faucet_open", _site("handleStartOpen"), offset=(0.0, 0.0, -0.01), rotation=_FAUCET
    ),
    "hammer-v3": TaskSpec(
        "tools.hammer",
        _HAMMER,
        rotation=Rotation(_HAMMER),
        second=_NAIL,
        second_rotation=Rotation(_NAIL),
        joint="NailSlideJoint",
    ),
    "hand-insert-v3": TaskSpec("placing.hand_insert", _PUCK, rotation=_PUCK_QUATERNION, grasped="objGeom"),
    "handle-press-side-v3": TaskSpec("handles.handle_press", _site("handleStart"), constants=("_handle_init_pos",)),
    "handle-press-v3": TaskSpec("handles.handle_press", _site("handleStart"), constants=("_handle_init_pos",)),
    "handle-pull-side-v3": TaskSpec("handles.handle_pull_side", _site("handleCenter")),
    "handle-pull-v3": TaskSpec("handles.handle_pull", _site("handleRight")),
    "lever-pull-v3": TaskSpec(
        "turning.lever_pull",
        _site("leverStart"),
        rotation=_PUCK_MATRIX,
        joint="LeverAxis",
        constants=("_lever_pos_init",),
    ),
    "peg-insert-side-v3": TaskSpec(
        "pegs.peg_insert_side",
        _PEG,
        rotation=Rotation(_PEG, of_matrix=True),
        points=tuple(map(_site, _PEG_POINTS)),
        constants=("peg_head_pos_init",),
    ),
    "peg-unplug-side-v3": TaskSpec("pegs.peg_unplug_side", _site("pegEnd"), rotation=Rotation(_body("plug1"))),
    "pick-out-of-hole-v3": TaskSpec("placing.pick_out_of_hole", _PUCK, rotation=_PUCK_QUATERNION),
    "pick-place-v3": TaskSpec("placing.pick_place", _PUCK, rotation=_PUCK_MATRIX, grasped="objGeom"),
    "pick-place-wall-v3": TaskSpec("placing.pick_place_wall", _PUCK_GEOM, rotation=_PUCK_MATRIX, grasped="objGeom"),
    "plate-slide-back-side-v3": TaskSpec("plates.plate_slide_otherwise", _PLATE, rotation=_PLATE_MATRIX),
    "plate-slide-back-v3": TaskSpec("plates.plate_slide_otherwise", _PLATE, rotation=_PLATE_MATRIX),
    "plate-slide-side-v3": TaskSpec("plates.plate_slide_otherwise", _PLATE, rotation=_PLATE_MATRIX),
    "plate-slide-v3": TaskSpec("plates.plate_slide", _PLATE, rotation=_PLATE_MATRIX),
    "push-back-v3": TaskSpec("pushing.push_back", _PUCK_GEOM, rotation=_PUCK_MATRIX, grasped="objGeom"),
    "push-v3": TaskSpec("pushing.push", _PUCK, rotation=_PUCK_MATRIX, grasped="objGeom"),
    "push-wall-v3": TaskSpec("pushing.push_wall", _PUCK_GEOM, rotation=_PUCK_MATRIX, grasped="objGeom"),
    "reach-v3": TaskSpec("reaching.reach", _PUCK, rotation=_PUCK_MATRIX, constants=("hand_init_pos",)),
    "reach-wall-v3": TaskSpec("reaching.reach_wall", _PUCK, rotation=_PUCK_MATRIX, constants=("hand_init_pos",)),
    "shelf-place-v3": TaskSpec("placing.shelf_place", _PUCK, rotation=_PUCK_MATRIX, grasped="objGeom"),
    "soccer-v3": TaskSpec("pushing.soccer", _BALL, rotation=Rotation(_BALL, of_matrix=True), grasped="objGeom"),
    "stick-pull-v3": TaskSpec(
        "tools.stick_pull",
        _STICK,
        rotation=_STICK_MATRIX,
        second=_site("insertion"),
        points=(_site("stick_end"),),
        constants=("stick_init_pos",),
        grasped="objGeom",
    ),
    "stick-push-v3": TaskSpec(
        "tools.stick_push",
        _STICK,
        rotation=_STICK_MATRIX,
        second=_site("insertion"),
        second_offset=(0.0, 0.09, 0.0),
        constants=("stick_init_pos",),
        grasped="objGeom",
        held_for_success=True,
    ),
    "sweep-into-v3": TaskSpec("pushing.sweep_into", _PUCK, rotation=_PUCK_MATRIX, grasped="objGeom"),
    "sweep-v3": TaskSpec("pushing.sweep", _PUCK, rotation=_PUCK_QUATERNION, grasped="objGeom"),
    "window-close-v3": TaskSpec(
        "sliding.window_close", _site("handleCloseStart"), constants=("window_handle_pos_init",)
    ),
    "window-open-v3": TaskSpec("sliding.window_open", _site("handleOpenStart"), constants=("window_handle_pos_init",)),
}
"""The tasks with V2 rewards, by Meta-World's names in alphabetical order."""

_LIFT = ("heightTarget", "objHeight", "maxPlacingDist")
_V1 = {
    "button-press-topdown-v3": ("v1.button_press_topdown", ("maxDist",)),
    "door-open-v3": ("v1.door_open", ("maxPullDist",)),
    "drawer-close-v3": ("v1.drawer_close", ("maxDist",)),
    "drawer-open-v3": ("v1.drawer_open", ("maxDist",)),
    "peg-insert-side-v3": ("v1.peg_insert_side", _LIFT),
    "pick-place-v3": ("v1.pick_place", _LIFT),
    "push-v3": ("v1.push", ("maxPushDist",)),
    "reach-v3": ("v1.reach", ("maxReachDist",)),
    "window-close-v3": ("v1.window", ("maxPullDist",)),
    "window-open-v3": ("v1.window", ("maxPullDist",)),
}
V1_TASKS = {name: replace(TASKS[name], reward=reward, constants=read) for name, (reward, read) in _V1.items()}
"""The tasks with V1 rewards, which read other constants of the episode."""

SPECS = {"v1": V1_TASKS, "v2": TASKS}
"""The tasks that have a kernel, by version of the rewards."""
