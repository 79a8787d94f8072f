"""The same embedding on several GPUs or machines, with Ray.

Each worker is a Ray actor: a process with its own copy of the model, and a GPU or some cores. It is
sent paths and what is wanted of them, decodes, embeds, and answers video by video, as
`embedding.compute_here` does. The cache is read and written by the process that sends the work.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, redirect_stdout
from tempfile import TemporaryDirectory
from typing import Any

from trajeval.devices import devices_of, n_cores, split_cores
from trajeval.terminal import UserError, telling_few
from trajeval.workers import Place, recipe_of

# Read when Ray is imported: no word to the network, nor to the terminal.
os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # or workers install packages of their own
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # workers of this machine are told their GPUs
}
import ray
from ray.exceptions import RayError

from trajeval.crew import Crew, nodes

LOCAL = "local"  # the address of a Ray that this process starts
STORE = 100_000_000  # bytes of its object store: embeddings alone pass through it


def compute_on_ray(
    model, requests: list[tuple], batch_size: int | None, args, has_workers: Callable[[int], None]
) -> Generator:
    """Yields what compute_here does, computed by workers on Ray. args: the options, of which
    `device` and `ray` say where. has_workers: is called with how many are ready. Raises UserError.
    Closing the iterator ends the workers."""
    if not requests:
        return
    with connected(args), telling_few("warnings", args.verbose) as tell:
        crew = Crew(
            *(model, requests, len(requests), batch_size),
            lambda: places_of(model, args),
            recipe_of(model, args),
            *(tell, has_workers),
        )
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
    for node in nodes():
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
