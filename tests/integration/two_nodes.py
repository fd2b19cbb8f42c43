"""Runs two Ray nodes and prints their address. Removes one at the first line of input, and ends at the second."""

from __future__ import annotations

import sys

from ray.cluster_utils import Cluster

STORE = 100 * 2**20  # bytes

if __name__ == "__main__":
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": STORE})
    second = cluster.add_node(num_cpus=1, object_store_memory=STORE)
    cluster.wait_for_nodes()
    print(cluster.address, flush=True)
    sys.stdin.readline()
    cluster.remove_node(second, allow_graceful=False)
    print("removed", flush=True)
    sys.stdin.readline()
    cluster.shutdown()
