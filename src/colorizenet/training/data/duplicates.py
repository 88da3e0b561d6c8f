"""Which of very many hashes are near a given one."""

from array import array
from itertools import pairwise

__all__ = ["Hashes"]


class Hashes:
    """The hashes of the pictures kept so far, numbered; those within a few bits of another are found at once.

    Two hashes that differ in d bits agree in at least one of d + 1 bands, so only those with an equal band are
    compared. Each band is a table of linked lists in plain arrays: about 12 bytes a picture and band.
    """

    SLOTS = 1_048_573  # a prime

    def __init__(self, distance: int) -> None:
        self.distance = distance
        edges = [64 * i // (distance + 1) for i in range(distance + 2)] if distance >= 0 else [0]
        self._bands = [(low, (1 << high - low) - 1) for low, high in pairwise(edges)]
        self._last = [array("i", [-1]) * self.SLOTS for _ in self._bands]
        self._before = [array("i") for _ in self._bands]
        self._hashes = array("Q")

    def find(self, value: int) -> int | None:
        """The number of the first hash that is near enough, or None."""
        first = None
        for slot, last, before in zip(self._slots(value), self._last, self._before, strict=True):
            number = last[slot]
            while number >= 0:
                if (self._hashes[number] ^ value).bit_count() <= self.distance and (
                    first is None or number < first
                ):
                    first = number
                number = before[number]
        return first

    def add(self, value: int) -> int:
        """Take in a hash; the number it gets."""
        number = len(self._hashes)
        self._hashes.append(value)
        for slot, last, before in zip(self._slots(value), self._last, self._before, strict=True):
            before.append(last[slot])
            last[slot] = number
        return number

    def _slots(self, value: int) -> list[int]:
        return [(value >> low & mask) % self.SLOTS for low, mask in self._bands]
