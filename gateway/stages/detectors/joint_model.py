"""How the tags of a device move together, and how far from that they are."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Mask, Values

MOST_TAGS: Final = 64
_KEPT_ROWS: Final = 600
"""Rows that are kept of the time of learning."""
_LEAST_ROWS: Final = 100
_SETTLING: Final = 40
"""Windows before moving averages mean something."""
_MEMORY: Final = 2 / 9
"""Weight of a window in the moving average of each tag (8 windows)."""
_SHRINK: Final = 0.02
"""Share of the identity in the correlation matrix, so that it can be inverted."""
_DRIFT: Final = 0.003
"""Weight of a window in the centre, which follows slow drift while nothing is unusual."""
_BLOCK: Final = 20
_RETURN: Final = 1e7
"""Windows within which a distance should come once; see `Records` of `own_range`."""
_LEAST_MARGIN: Final = 0.15
_BACK: Final = 0.1
_BACK_WINDOWS: Final = 30
"""An anomaly is over when the squared distance was below a tenth of its peak for so long; the centre begins there."""
_CALM_WINDOWS: Final = 3
"""Windows below the threshold after which it is over as well: one that flickers is one anomaly."""
_SLOW: Final = 1 / 16
_COMMON: Final = 0.6
_COMMON_SIGMA: Final = 4.0


class DeviceModel:
    """Squared Mahalanobis distance of the moving averages of a device's tags (MEWMA, Lowry et al. 1992).

    Learned once, in commissioning: mean, scale and correlation, and a threshold from the block maxima of the distance.
    While it is active nothing is learned. Tags that did not move in commissioning are left out.
    """

    def __init__(self, tags: int, learn: int) -> None:
        """Begin without knowledge. learn: windows of commissioning."""
        self._learn = max(learn, _LEAST_ROWS)
        self._every = -(-self._learn // _KEPT_ROWS)
        self._rows: list[Values] = []
        self._seen = 0
        self.average, self.centre, self.scale = np.zeros((3, tags))
        self._known = np.zeros(tags, np.bool_)
        self._inverse = np.zeros((tags, tags))
        self.threshold, self.distance = np.inf, 0.0
        self.active, self.lead, self.is_common = False, -1, False
        self._peak, self._level, self._back, self._calm = 0.0, 0.0, 0, 0

    @property
    def is_learnt(self) -> bool:
        """Return whether commissioning is over."""
        return bool(np.isfinite(self.threshold))

    def add(self, value: Values, here: Mask) -> None:
        """Add a window: the mean of each tag, and which have samples."""
        if not here.any():
            return
        new = here & ~self._known
        self.average[new], self._known[new] = value[new], True
        weight = max(_MEMORY, 1 / (self._seen + 1))
        self.average += np.where(here, weight * (value - self.average), 0)
        self._seen += 1
        if not self.is_learnt:
            self._commission()
            return
        offset = self._offset()
        self.distance = float(offset @ self._inverse @ offset)
        hit = self.distance > self.threshold
        if self.active:
            self._go_on(hit)
        elif hit:
            self.active, self._peak, self._level = True, self.distance, self.distance
            self._back = self._calm = 0
            self.lead = self.shares(1)[0][0]
            moved = self.scale > 0
            self.is_common = bool((np.abs(offset[moved]) > _COMMON_SIGMA).mean() > _COMMON) and moved.sum() > 2
        if not self.active:
            self.centre += _DRIFT * (self.average - self.centre)

    def _go_on(self, hit: bool) -> None:
        self._level += _SLOW * (self.distance - self._level)
        self._peak = max(self._peak, self._level)
        self._back = self._back + 1 if self.distance < _BACK * self._peak else 0
        self._calm = 0 if hit else self._calm + 1
        if hit and self._back >= _BACK_WINDOWS:
            self.centre = self.average.copy()
        self.active = self._calm < _CALM_WINDOWS and self._back < _BACK_WINDOWS

    def _offset(self) -> Values:
        return np.where(self.scale > 0, (self.average - self.centre) / np.where(self.scale > 0, self.scale, 1), 0)

    def _commission(self) -> None:
        if self._seen > _SETTLING and self._seen % self._every == 0:
            self._rows.append(self.average.copy())
        if self._seen < self._learn:
            return
        kept = np.array(self._rows)
        self._rows = []
        self.centre, self.scale = kept.mean(axis=0), kept.std(axis=0)
        self.scale[(self.scale <= 1e-9 * np.abs(self.centre)) | ~self._known] = 0
        moved = self.scale > 0
        if not moved.any():
            self._seen = _SETTLING
            return
        scaled = (kept[:, moved] - self.centre[moved]) / self.scale[moved]
        correlation = (1 - _SHRINK) * (scaled.T @ scaled) / len(scaled) + _SHRINK * np.eye(int(moved.sum()))
        self._inverse[np.ix_(moved, moved)] = np.linalg.inv(correlation)
        distance = np.einsum("ij,jk,ik->i", scaled, self._inverse[np.ix_(moved, moved)], scaled)
        self.threshold = _threshold(distance)

    def shares(self, most: int) -> list[tuple[int, float]]:
        """Return the likeliest causes by place, with their shares.

        The contribution of a tag is how much smaller the distance were, had the tag alone its best value
        (reconstruction-based contributions, Alcala and Qin 2009).
        """
        diagonal = np.diagonal(self._inverse)
        part = np.where(diagonal > 0, np.square(self._inverse @ self._offset()) / np.where(diagonal > 0, diagonal, 1), 0)
        share = part / max(part.sum(), 1e-300)
        return [(int(one), float(share[one])) for one in np.argsort(-share, kind="stable")[:most]]

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return what was learnt, a row for each tag; what holds for the device stands in each."""
        tags = self.average.size
        inverse = np.zeros((tags, MOST_TAGS), np.float32)
        inverse[:, :tags] = self._inverse
        numbers = [self.threshold, self.distance, self._peak, self._level, self._back, self._calm, self.active, self.lead]
        return {
            "inverse": inverse,
            "vectors": np.stack([self.average, self.centre, self.scale, self._known], axis=1).astype(np.float64),
            "numbers": np.tile(np.array(numbers, np.float64), (tags, 1)),
        }

    def restore(self, columns: dict[str, NDArray[Any]]) -> None:
        """Take over what `columns` has returned of a model of the same tags; one that was still learning begins anew."""
        numbers = columns["numbers"][0]
        if not np.isfinite(numbers[0]):
            return
        self._inverse = columns["inverse"][:, : self.average.size].astype(float)
        self.average, self.centre, self.scale, known = columns["vectors"].T.copy()
        self._known = known > 0
        self.threshold, self.distance, self._peak, self._level = (float(one) for one in numbers[:4])
        self._back, self._calm, self.active, self.lead = int(numbers[4]), int(numbers[5]), bool(numbers[6]), int(numbers[7])
        self._seen = self._learn


def _threshold(distance: Values) -> float:
    """Return the distance of the return period, from block maxima."""
    blocks = max(len(distance) // _BLOCK, 1)
    maxima = distance[: blocks * _BLOCK].reshape(blocks, -1).max(axis=1)
    record, mean, logarithm = maxima.max(), maxima.mean(), np.log(max(blocks, 3))
    return float(record + max(np.log(_RETURN / _BLOCK) / logarithm - 1, _LEAST_MARGIN) * (record - mean))
