"""A cluster of two workers on this machine, as a user's LocalCluster."""

import pytest


@pytest.fixture(scope="module")
def cluster():
    """Two processes of one thread, which die and start again; a dashboard at any port."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as found:
        yield found


@pytest.fixture
def client(cluster):
    """A look at the cluster beside the package's own. Whatever a test did to it, two workers are there, or three."""
    from distributed import Client

    with Client(cluster, set_as_default=False) as found:
        found.wait_for_workers(2, timeout=120)
        yield found
