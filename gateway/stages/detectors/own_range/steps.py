"""What the windows of a step say of each tag."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Mask, Values

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """A step of windows, columns of the tags. Values are relative to the centre of `Features`."""

    time_s: Values
    """When it began, seconds since the epoch."""
    low: Floats
    """Smallest mean of a window."""
    high: Floats
    """Largest mean of a window."""
    middle: Floats
    """Mean without its extremes."""
    spread: Floats
    """Standard deviation within the step."""
    quantum: Floats
    """Smallest change between two windows, inf where there was none."""
    here: Mask
    """Tags that have samples in it."""
