"""An amount of memory that the photos in work share."""

import asyncio
from collections import deque

__all__ = ["MemoryBudget"]


class MemoryBudget:
    """A number of bytes that photos share. They wait for it in the order in which they
    came; who needs nothing never waits."""

    total: int | None
    """The number of bytes; None: any number."""

    def __init__(self, total: int | None) -> None:
        self.total = total
        self._used = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """Number of photos that wait."""
        return len(self._waiting)

    def take_at_once(self, number: int) -> bool:
        """Take some bytes if they are free and nobody waits."""
        free = not number or (not self._waiting and self._has_room(number))
        self._used += number if free else 0
        return free

    async def take(self, number: int) -> None:
        """Take some bytes as soon as they are free."""
        if self.take_at_once(number):
            return
        entry = (number, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        try:
            await entry[1]
        except asyncio.CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
                self._grant()  # the next one may need less
            else:
                self.give_back(number)
            raise

    def give_back(self, number: int) -> None:
        """Return bytes that have been taken."""
        self._used -= number
        self._grant()

    def _has_room(self, number: int) -> bool:
        return self.total is None or self._used + number <= self.total

    def _grant(self) -> None:
        while self._waiting and self._has_room(self._waiting[0][0]):
            number, future = self._waiting.popleft()
            self._used += number
            if not future.done():
                future.set_result(None)
