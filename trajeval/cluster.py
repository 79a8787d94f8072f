"""The same embedding on several GPUs or machines, with Ray.

Each worker is a Ray actor: a process with its own copy of the model, and a GPU or some cores. It is
sent paths and what is wanted of them, decodes, embeds, and answers video by video, as
`embedding.compute_here` does. The cache is read and written by the process that sends the work.
"""

import os
import signal
import socket
import threading
from collections import Counter, deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from tempfile import TemporaryDirectory
from typing import Any

from trajeval.contents import Contents
from trajeval.devices import default_batch_size, devices_of, n_cores, split_cores
from trajeval.terminal import UserError, telling_few
from trajeval.videos import VideoError
from trajeval.workers import Place, Recipe, Worker, recipe_of

# Read when Ray is imported: no word to the network, nor to the terminal.
os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # or workers install packages of their own
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # workers of this machine are told their GPUs
}
import ray
from ray.exceptions import (
    ActorUnschedulableError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

LOCAL = "local"  # the address of a Ray that this process starts
STORE = 100_000_000  # bytes of its object store: embeddings alone pass through it
AHEAD = 16  # batches that a worker is sent at a time, at most
TRIES = 3  # of a worker that ends while it loads the model
TWICE = 2
PATIENCE = 600  # seconds without any worker
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
    """

    def __init__(self, model, requests: list[tuple], batch_size: int | None, tell):
        self.weights, self.requests, self.tell = list(model.weights.values()), requests, tell
        self.batch_size, self.per_batch = batch_size, batch_size or default_batch_size(model.device)
        self.contents = Contents(model.cache)
        self.jobs: list[Job] = []
        self.sent, self.alone = 0, deque[int]()
        self.ended: Counter[int] = Counter()
        self.found: dict[int, Any] = {}

    def start(self, places: list[Place], recipe: Recipe) -> None:
        self.recipe = recipe
        self.jobs = [Job(place, recipe, 1) for place in places[: len(self.requests)]]

    def answers(self) -> Iterator:
        """Yields what is found of each request, in turn. Raises UserError."""
        for number in range(len(self.requests)):
            while number not in self.found:
                self.step()
            yield self.found.pop(number)

    def step(self) -> None:
        """Gives work to whom has none, and takes one answer."""
        for job in self.jobs:
            if job.due is None and (numbers := self.next_numbers()):
                self.send(job, numbers)
        busy = [job for job in self.jobs if job.due is not None]
        ready, _ = ray.wait([job.due for job in busy], timeout=PATIENCE)
        if not ready and all(job.tries for job in self.jobs):
            raise UserError(f"Ray: no worker could be started in {PATIENCE} s", status=1)
        for job in busy:
            if any(job.due is one for one in ready):
                self.take(job)

    def next_numbers(self) -> list[int]:
        """What to send next: ever less towards the end, so that all workers end together."""
        if self.alone:
            return [self.alone.popleft()]
        left, size = len(self.requests) - self.sent, self.per_batch
        count = size * max(1, min(AHEAD, left // (3 * size * len(self.jobs))))
        numbers = range(self.sent, min(self.sent + count, len(self.requests)))
        self.sent = numbers.stop
        return list(numbers)

    def send(self, job: Job, numbers: list[int]) -> None:
        requests = [self.requests[i] for i in numbers]
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
                answer = ray.get(one)
                self.found[job.left.popleft()] = answer
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
        where = f" on {job.place.host}" if job.place.host else ""
        self.tell(f"warning: a worker{where} has ended; what it was doing is done again")
        for number in job.left:
            self.ended[number] += len(job.left) == 1
            if self.ended[number] < TWICE:
                self.alone.append(number)
            else:
                name = self.requests[number][0].name
                self.found[number] = VideoError(f"{name}: ends the process that reads it (twice)")
        if job.tries < TRIES:
            self.jobs.append(Job(job.place, self.recipe, job.tries + 1))
        elif not self.jobs:
            raise UserError(
                "Ray: all workers have ended, the last ones while they loaded the model: is there "
                "enough memory for it?",
                status=1,
            )


def compute_on_ray(model, requests: list[tuple], batch_size: int | None, args) -> Generator:
    """Yields what compute_here does, computed by workers on Ray. args: the options, of which
    `device` and `ray` say where. Raises UserError. Closing the iterator ends the workers."""
    if not requests:
        return
    with connected(args), telling_few("warnings", args.verbose) as tell:
        crew = Crew(model, requests, batch_size, tell)
        crew.start(places_of(model, args), recipe_of(model, args))
        yield from crew.answers()


@contextmanager
def connected(args) -> Iterator[None]:
    """Within the block Ray is there: one that runs already, or one of this process. Raises
    UserError."""
    address, handler = args.ray or LOCAL, signal.getsignal(signal.SIGTERM)
    settings: dict[str, Any] = {
        "address": address,
        "log_to_driver": False,
        "logging_level": "ERROR",
    }
    with (
        TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder,
        open(os.devnull, "w") as nowhere,
        redirect_stdout(nowhere),  # where Ray says what its processes do
    ):
        if address == LOCAL:
            settings |= {"include_dashboard": False, "object_store_memory": STORE}
            settings |= {"num_cpus": n_cores(), "num_gpus": 0, "_temp_dir": folder}
        try:
            connect(address, settings)
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, handler)  # Ray has put its own there
            yield
        finally:
            ray.shutdown()


def connect(address: str, settings: dict[str, Any]) -> None:
    try:
        if ":" in address:  # where nothing listens, Ray would try for minutes
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(**settings)
    except (OSError, OverflowError, RuntimeError, RayError) as error:
        raise UserError(f"--ray {address}: {error}", status=1) from None


def places_of(model, args) -> list[Place]:
    """Where workers are to run: one for each GPU, or for what a clip takes of the cores of a
    machine. Raises UserError."""
    kind, here = model.device.partition(":")[0], ray.get_runtime_context().get_node_id()
    places, has_gpus = [], False
    for node in filter(lambda node: node["Alive"], ray.nodes()):
        name, has = node["NodeID"], node["Resources"]
        host = None if name == here else node["NodeManagerHostname"]
        cores, gpus = int(has.get("CPU", 0)), int(has.get("GPU", 0))
        if not cores:  # a machine that only manages others
            continue
        if kind == "cpu":
            batches, threads = split_cores(cores)
            places += [Place(name, host, kind, threads, 1)] * batches
        elif args.ray in (None, LOCAL):
            devices = devices_of(
                args.device if "cuda:" in args.device or kind != "cuda" else "cuda:all"
            )
            places += [Place(name, host, one, max(1, cores // len(devices))) for one in devices]
        else:
            places += [Place(name, host, kind, max(1, cores // gpus), gpus=1)] * gpus
        has_gpus |= gpus > 0
    if kind == "cpu" and has_gpus and args.device == "auto":
        raise UserError(
            f"--ray {args.ray}: there are GPUs, but none on this machine, whose kind of device is "
            "used: run this on a machine with one, or with --device cpu"
        )
    if not places:
        raise UserError(f"--ray {args.ray}: no machine there has a device of this kind: {kind}")
    return places
