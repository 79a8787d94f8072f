"""Workers on Ray, and which requests each of them has. cluster.py, which imports this, sets before
what Ray reads when it is imported."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import ray
from ray.exceptions import (
    ActorUnschedulableError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trajeval.contents import Contents
from trajeval.devices import default_batch_size
from trajeval.terminal import UserError
from trajeval.videos import VideoError
from trajeval.workers import Place, Recipe, Worker

AHEAD = 16  # batches that a worker is sent at a time, at most
TRIES = 3  # of a worker that ends while it loads the model
TWICE = 2
PATIENCE = 600  # seconds without any worker
LOOK_EVERY = 30  # seconds, for machines that join
LOST = (RayActorError, ActorUnschedulableError, ObjectLostError, OutOfMemoryError)


class Job:
    """What a worker is doing. due: what Ray calls that, None if nothing. left: the numbers of the
    requests that it has not answered. tries: how often it was started, 0 once it is ready."""

    def __init__(self, place: Place, recipe: Recipe, tries: int):
        settings: dict[str, Any] = {
            "num_cpus": place.cores,
            "num_gpus": place.gpus,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(place.node, soft=False),
            "runtime_env": {"env_vars": {"PYTHONPATH": recipe.folders}},
        }
        self.worker: Any = ray.remote(Worker).options(**settings).remote(place, recipe)
        self.place, self.tries, self.left = place, tries, deque[int]()
        self.due: Any = self.worker.load.remote()


class Crew:
    """Workers, and which requests they have.

    A worker that ends is started again, and what it has not answered is given to others, one video
    at a time: a video that ends two workers that have only it cannot be used.

    requests: (source, what is missing of each view), read as they are sent; at_most: how many they
    may be. places: the places of workers that there are now. tell: is called with warnings,
    has_workers with how many workers are ready.
    """

    def __init__(
        self,
        model,
        requests: Iterable[tuple],
        at_most: int,
        batch_size: int | None,
        places: Callable[[], list[Place]],
        recipe: Recipe,
        tell: Callable[[str], None],
        has_workers: Callable[[int], None] = lambda count: None,
    ):
        self.weights, self.contents = list(model.weights.values()), Contents(model.cache)
        self.requests, self.at_most = enumerate(requests), at_most
        self.batch_size, self.per_batch = batch_size, batch_size or default_batch_size(model.device)
        self.places, self.recipe, self.tell, self.has_workers = places, recipe, tell, has_workers
        self.sent, self.alone = 0, deque[int]()
        self.open: dict[int, tuple] = {}  # the requests that were sent and are not answered
        self.ended: Counter[int] = Counter()
        self.found: dict[int, Any] = {}
        self.jobs: list[Job] = []
        self.known: set[str] = set()  # the machines that have workers, or had
        self.all_sent, self.heard = False, time.monotonic()
        self.join()

    def join(self) -> None:
        """Starts workers on the machines that have come, as many as there is work for."""
        self.looked = time.monotonic()
        new = [place for place in self.places() if place.node not in self.known]
        wanted = max(self.at_most - self.sent - len(self.jobs), 0)
        self.jobs += [Job(place, self.recipe, 1) for place in new[:wanted]]
        self.known |= {place.node for place in new}

    def answers(self) -> Iterator:
        """Yields what is found of each request, in turn. Raises UserError."""
        number = 0
        while True:
            while number not in self.found:
                if self.all_sent and number == self.sent:
                    return
                self.step()
            yield self.found.pop(number)
            number += 1

    def step(self) -> None:
        """Gives work to whom has none, and takes one answer."""
        if time.monotonic() - self.looked > LOOK_EVERY:
            with suppress(UserError):  # where there are places now, there is nothing to complain of
                self.join()
        for job in self.jobs:
            if job.due is None and (numbers := self.next_numbers()):
                self.send(job, numbers)
        busy = [job for job in self.jobs if job.due is not None]
        if not busy:
            return
        ready, _ = ray.wait([job.due for job in busy], timeout=LOOK_EVERY)
        if ready:
            self.heard = time.monotonic()
        elif all(job.tries for job in self.jobs) and time.monotonic() - self.heard > PATIENCE:
            raise UserError(f"Ray: no worker could be started in {PATIENCE} s", status=1)
        for job in busy:
            if any(job.due is one for one in ready):
                self.take(job)
        self.has_workers(sum(not job.tries for job in self.jobs))

    def next_numbers(self) -> list[int]:
        """What to send next: ever less towards the end, so that all workers end together."""
        if self.alone:
            return [self.alone.popleft()]
        left, size = self.at_most - self.sent, self.per_batch
        count = size * max(1, min(AHEAD, left // (3 * size * len(self.jobs))))
        new = dict(islice(self.requests, count))
        self.open |= new
        self.sent += len(new)
        self.all_sent = len(new) < count or self.sent == self.at_most
        return list(new)

    def send(self, job: Job, numbers: list[int]) -> None:
        requests = [self.open[i] for i in numbers]
        contents = [self.contents.of(one) if job.place.host else None for one, _ in requests]
        embed = job.worker.embed.options(num_returns="streaming")
        job.left, job.due = deque(numbers), embed.remote(requests, contents, self.batch_size)

    def take(self, job: Job) -> None:
        """Takes what a worker has to say: that it is ready, an answer, that it is done."""
        try:
            if job.tries:
                self.check(ray.get(job.due), job.place)
                job.tries, job.due = 0, None
            elif (one := next(job.due, None)) is None:
                job.due = None
            else:
                answer, number = ray.get(one), job.left.popleft()
                self.found[number] = answer
                del self.open[number]
        except LOST:
            self.replace(job)
        except UserError as error:  # of the worker's: Ray mixes it with a type of its own
            cause = getattr(error, "cause", error)
            raise UserError(*cause.problems, status=cause.status) from None

    def check(self, weights: list[str], place: Place) -> None:
        if weights != self.weights:
            raise UserError(f"the weights on {place.host} differ from those here", status=1)

    def replace(self, job: Job) -> None:
        """Starts a worker in the place of one that has ended, as often as that may help."""
        with suppress(RayError):
            ray.kill(job.worker)
        self.jobs.remove(job)
        is_gone = all(node["NodeID"] != job.place.node for node in nodes())
        where = f" on {job.place.host}" if job.place.host else ""
        self.tell(f"warning: a worker{where} has ended; what it was doing is done again")
        for number in job.left:
            self.ended[number] += len(job.left) == 1 and not is_gone  # else it is not the video's
            if self.ended[number] < TWICE:
                self.alone.append(number)
            else:
                name = self.open.pop(number)[0].name
                self.found[number] = VideoError(
                    f"{name}: the process that reads it has ended twice, with no other video: it "
                    "may crash the decoder or need too much memory, or it was killed"
                )
        if job.tries < TRIES and not is_gone:
            self.jobs.append(Job(job.place, self.recipe, job.tries + 1))
        elif not self.jobs:
            raise UserError(
                "Ray: the machines of all workers are gone"
                if is_gone
                else "Ray: all workers have ended, the last ones while they loaded the model: is "
                "there enough memory for it?",
                status=1,
            )


def nodes() -> list[dict]:
    """What Ray says of the machines that are there."""
    return [node for node in ray.nodes() if node["Alive"]]
