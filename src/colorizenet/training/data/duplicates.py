"""Search for near-duplicates among millions of hashes."""

from array import array
from itertools import pairwise

__all__ = ["HashIndex"]


class HashIndex:
    """Numbered 64-bit hashes, and a fast search for those within a few bits of another.

    Two hashes that differ in d bits are equal in at least one of d + 1 bands of bits,
    so only hashes with an equal band are compared. Each band is a hash table of linked
    lists in plain arrays: about 12 bytes per hash and band.
    """

    def __init__(self, distance: int, *, slots: int = 1_048_573) -> None:
        """Make an empty index.

        ``distance``: the number of bits that duplicates may differ in, or -1 to find
        none. ``slots``: size of the hash tables, a prime.
        """
        self.distance, self._slots = distance, slots
        edges = [64 * i // (distance + 1) for i in range(distance + 2)] if distance >= 0 else [0]
        self._bands = [(low, (1 << high - low) - 1) for low, high in pairwise(edges)]
        self._last = [array("i", [-1]) * slots for _ in self._bands]
        self._previous = [array("i") for _ in self._bands]
        self._hashes = array("Q")

    def find(self, value: int) -> int | None:
        """The number of the first hash within the distance, or None."""
        first = None
        lists = zip(self._find_slots(value), self._last, self._previous, strict=True)
        for slot, last, previous in lists:
            number = last[slot]
            while number >= 0:
                if (self._hashes[number] ^ value).bit_count() <= self.distance and (
                    first is None or number < first
                ):
                    first = number
                number = previous[number]
        return first

    def add(self, value: int) -> int:
        """Add a hash and return its number."""
        number = len(self._hashes)
        self._hashes.append(value)
        lists = zip(self._find_slots(value), self._last, self._previous, strict=True)
        for slot, last, previous in lists:
            previous.append(last[slot])
            last[slot] = number
        return number

    def _find_slots(self, value: int) -> list[int]:
        return [(value >> low & mask) % self._slots for low, mask in self._bands]
