"""Parts on a Ray cluster: an actor for each processor, with the model loaded once; a node may die meanwhile.

Every node needs Lenslet with the extra `ray`, the photos at the same paths (or in S3), and the same output.
"""

import socket
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

from lenslet.batch.local import MOST_DEATHS
from lenslet.batch.plan import Part
from lenslet.batch.rows import Counts
from lenslet.batch.work import Job, PartWorker, Report
from lenslet.inference.errors import InputError

LOCAL = "local"
CONNECT_S = 5.0
POLL_S = 5.0  # between two looks at how many processors the cluster has


def run_on_ray(job: Job, parts: Iterator[Part], report: Report, address: str) -> Counts:
    """Classify and write the parts on the cluster at `address`, or on one of this computer.

    Raises: InputError if there is no cluster, or a part cannot be classified; OSError if one cannot be written.
    """
    _check_reachable(address)
    try:
        import ray
    except ImportError as error:
        raise InputError("--ray needs `pip install 'lenslet[ray]'`") from error
    try:
        ray.init(address=None if address == LOCAL else address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"there is no Ray cluster at {address}: {reason}; start one, or give --ray local"
        ) from error
    try:
        return _Crew(ray, job, parts, report).run()
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Ray itself tries for minutes. Raises: InputError if nothing listens at host:port."""
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise InputError(
            f"there is no Ray cluster at {address}: {error}; start one, or give --ray local"
        ) from error


class _Crew:
    """One part at each actor: what is not asked for stays in the plan, so that no queue grows."""

    def __init__(self, ray: Any, job: Job, parts: Iterator[Part], report: Report) -> None:
        self.ray, self.parts, self.report = ray, parts, report
        self.job = ray.put(job)
        self.actor_class = ray.remote(num_cpus=1)(PartWorker)
        self.again: deque[Part] = deque()
        self.deaths: Counter[int] = Counter()
        self.starting: dict[Any, Any] = {}  # future → actor
        self.stillborn = 0
        self.idle: list[Any] = []
        self.busy: dict[Any, tuple[Any, Part]] = {}  # future → actor and its part
        self.is_exhausted = False  # no part is left but those that actors are at
        self.counts = Counts()

    def run(self) -> Counts:
        while True:
            self._hire()
            self._hand_out()
            if self.is_exhausted and not self.busy:
                return self.counts
            done, _ = self.ray.wait([*self.busy, *self.starting], timeout=POLL_S)
            for future in done:
                if future in self.starting:
                    self._greet(future)
                else:
                    self._hear(future)

    def _hire(self) -> None:
        """As many actors as the cluster has processors: nodes come and go."""
        wanted = max(1, int(self.ray.cluster_resources().get("CPU", 1)))
        for _ in range(wanted - len(self.idle) - len(self.busy) - len(self.starting)):
            actor = self.actor_class.remote(self.job)
            self.starting[actor.__ray_ready__.remote()] = actor

    def _greet(self, future: Any) -> None:
        """Take an actor that has started. Until then it has no part: a node that is lost may still be counted."""
        actor = self.starting.pop(future)
        try:
            self.ray.get(future)
        except self.ray.exceptions.RayError as error:
            self.stillborn += 1
            if self.stillborn >= MOST_DEATHS:
                raise InputError(
                    f"no actor starts: {' '.join(str(error).split())[-300:]}; every node needs lenslet[ray]"
                ) from error
        else:
            self.idle.append(actor)

    def _hand_out(self) -> None:
        while self.idle:
            part = self.again.popleft() if self.again else next(self.parts, None)
            if part is None:
                self.is_exhausted = True
                return
            actor = self.idle.pop()
            self.busy[actor.run.remote(part)] = (actor, part)

    def _hear(self, future: Any) -> None:
        actor, part = self.busy.pop(future)
        try:
            counts: Counts = self.ray.get(future)
        except self.ray.exceptions.RayTaskError as error:  # what the worker itself raised
            raise error.cause from error
        except self.ray.exceptions.RayError as error:  # the actor, or its node, has died
            self.deaths[part.number] += 1
            if self.deaths[part.number] >= MOST_DEATHS:
                first, last = part.sources[0].name, part.sources[-1].name
                raise InputError(
                    f"an actor ended {MOST_DEATHS} times at the same part, from {first} to {last}: "
                    f"{str(error).splitlines()[0][:200]}"
                ) from error
            self.again.append(part)
            self.is_exhausted = False
            return
        self.counts.join(counts)
        self.report(counts.photos, counts.failed)
        self.idle.append(actor)
