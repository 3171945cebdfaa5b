"""Meta-World's models without visual elements."""

from __future__ import annotations

import copy
from functools import lru_cache

import mujoco


def physics_model(path: str, keep: tuple[str, ...] = ()) -> mujoco.MjModel:
    """The model of an XML file without cameras, lights and visual geometry, but for the geoms named in `keep`.

    Its physics equal those of the whole model bit for bit, because visual geoms do not collide and, after compilation,
    have no mass. The model is a copy that the caller may change.
    """
    return copy.copy(_compile(path, keep))


@lru_cache
def _compile(path: str, keep: tuple[str, ...]) -> mujoco.MjModel:
    spec = mujoco.MjSpec.from_file(path)
    spec.compiler.discardvisual = True
    for name in keep:
        # the compiler keeps what a sensor refers to
        spec.add_sensor(
            name=f"keep {name}", type=mujoco.mjtSensor.mjSENS_FRAMEPOS, objtype=mujoco.mjtObj.mjOBJ_GEOM, objname=name
        )
    for seen in (*spec.cameras, *spec.lights):
        seen.delete()
    _drop_meshes(spec, keep)
    return spec.compile()


def _drop_meshes(spec: mujoco.MjSpec, keep: tuple[str, ...]) -> None:
    """Remove visual meshes that do not contribute to inertia; they take most of the compilation time."""
    used = set()
    for geom in list(spec.geoms):
        if geom.type != mujoco.mjtGeom.mjGEOM_MESH:
            continue
        visual = geom.contype == 0 and geom.conaffinity == 0
        if visual and geom.parent.explicitinertial and geom.name not in keep:
            geom.delete()
        else:
            used.add(geom.meshname)
    for mesh in list(spec.meshes):
        if mesh.name not in used:
            mesh.delete()
