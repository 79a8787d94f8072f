"""--ray with several machines, which Ray pretends to have here: nodes that fail, files that a node
lacks."""

import sys
from pathlib import Path

import pytest
from standin import Standin
from test_cluster import N, assert_equal, busy, go_once, is_alive, lists, run, wait_for

from trajeval import cluster

__all__ = ["lists", "run"]
pytestmark = pytest.mark.slow


@pytest.fixture
def nodes():
    """A cluster whose first node is this machine, without a core for workers."""
    from ray.cluster_utils import Cluster

    settings = {"object_store_memory": cluster.STORE, "include_dashboard": False}
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **settings})
    yield found, {"object_store_memory": cluster.STORE}
    found.shutdown()


def test_a_node_is_lost(run, nodes):
    made, settings = nodes
    made.add_node(num_cpus=1, **settings)
    lost = made.add_node(num_cpus=1, **settings)
    made.wait_for_nodes()

    def lose():
        made.remove_node(lost, allow_graceful=False)
        wait_for(lambda: not all(map(is_alive, busy())))  # its worker follows

    with go_once(lambda: len(busy()) == 2, lose):
        status, err = run("ray", "--ray", made.address, "--pids", "pids", "--until", "go")
    assert status == 0 and f"{N} videos: {N} computed" in err
    assert "warning: a worker on " in err
    assert run("one", "--no-cache")[0] == 0
    assert_equal("one", "ray")


def test_a_node_that_joins(run, nodes, monkeypatch):
    """Its worker gets what is left; nothing is done before it is there."""
    made, settings = nodes
    made.add_node(num_cpus=1, **settings)
    made.wait_for_nodes()
    monkeypatch.setattr(sys.modules[cluster.Crew.__module__], "LOOK_EVERY", 0.5)
    places_of = cluster.places_of

    def join_and_look(*arguments):
        if busy() and len(made.worker_nodes) == 1:
            made.add_node(num_cpus=1, **settings)
            made.wait_for_nodes()
        return places_of(*arguments)

    monkeypatch.setattr(cluster, "places_of", join_and_look)
    with go_once(lambda: len(busy()) == 2):
        status, err = run("ray", "--ray", made.address, "--pids", "pids", "--until", "go")
    assert status == 0 and f"{N} videos: {N} computed" in err and len(busy()) == 2


def test_a_file_that_a_node_lacks(run, nodes, monkeypatch):
    """It is gone once the list was read, and hashed, here."""
    made, settings = nodes
    made.add_node(num_cpus=1, **settings)
    made.wait_for_nodes()
    connect = cluster.connect

    def connect_and_lose(*arguments):
        connect(*arguments)
        Path("3.mov").unlink()

    monkeypatch.setattr(cluster, "connect", connect_and_lose)
    status, err = run("ray", "--ray", made.address)
    assert status == 1 and f"{N - 1} computed" in err
    [error] = [line for line in err.splitlines() if line.startswith("error: ")]
    assert error.startswith("error: 3.mov: ") and " (on " in error


def test_a_cluster_without_such_a_device(run, nodes):
    status, err = run("ray", "--ray", nodes[0].address)
    assert status == 2 and "no machine there has a device of this kind: cpu" in err
    assert Standin.name not in err
