"""Turns of clients that wait for the same model."""

from __future__ import annotations


class Turns:
    """Orders the work of several clients fairly, by its size: start-time fair queueing.

    Each piece of work has a start, and the lowest start is next. The starts of one client follow each other at the
    distance of its costs. A client that has nothing waiting starts at the current position, before the later work of a
    client that has asked for much. So a client with little work waits for about one piece of each other client.
    """

    def __init__(self) -> None:
        self._now = 0.0  # highest start that was served
        self._next: dict[str, float] = {}  # client -> start of its next work, if that is after `_now`

    def start(self, client: str, cost: float) -> float:
        """Start of the next work of a client, with a cost in any unit."""
        start = max(self._next.get(client, 0.0), self._now)
        self._next[client] = start + cost
        return start

    def serve(self, start: float) -> None:
        """Note that it is the turn of the work with this start."""
        self._now = max(self._now, start)
        self._next = {client: later for client, later in self._next.items() if later > self._now}
