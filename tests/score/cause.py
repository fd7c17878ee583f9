"""How often `joint` names the tag first in which a fault was put: correlated tags of an own model, one fault each."""

import numpy as np

from gateway.stages.detectors.joint_model import DeviceModel


def first_named(plants: int = 200, tags: int = 12, seed: int = 1) -> tuple[float, float]:
    """Return the share of faults found, and of those the share in which the first named tag is the right one."""
    rng = np.random.default_rng(seed)
    found = right = 0
    for plant in range(plants):
        mixing = rng.normal(0, 1, (3, tags))
        drivers = np.zeros(3)
        model, faulty, size = DeviceModel(tags, 600), int(rng.integers(tags)), rng.uniform(4, 10)
        for row in range(800):
            drivers = 0.95 * drivers + 0.3 * rng.normal(size=3)
            values = drivers @ mixing + 0.5 * rng.normal(size=tags)
            if row >= 600:
                kind, since = plant % 2, row - 600
                values[faulty] += size * 0.5 * (1 if kind == 0 else min(since / 60, 1))
            model.add(values, np.ones(tags, np.bool_))
            if row >= 600 and model.active:
                found += 1
                right += model.lead == faulty
                break
    return found / plants, right / max(found, 1)
