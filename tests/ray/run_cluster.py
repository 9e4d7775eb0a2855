"""`lenslet predict --ray` on a cluster of two nodes of this computer, one of which is killed in the middle.

.venv-ray/bin/python tests/ray/run_cluster.py PHOTOS OUT [kill]
"""

import sys
import threading
import time
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster

from lenslet.cli import main

ROOT = Path(__file__).parents[2]


def kill_when_parts_are_there(cluster: Any, node: Any, out: Path) -> None:
    while len(list(out.glob("part-*"))) < 3:
        time.sleep(0.02)
    cluster.remove_node(node, allow_graceful=False)
    print("killed", file=sys.stderr, flush=True)


if __name__ == "__main__":
    _, photos, out, *kill = sys.argv
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    if kill:
        threading.Thread(
            target=kill_when_parts_are_there, args=(cluster, second, Path(out)), daemon=True
        ).start()
    words = ["predict", photos, "--out", out, "--part-photos", "25", "--model", str(ROOT / "model")]
    code = main([*words, "--ray", cluster.address])
    print(code, len(cluster.list_all_nodes()), file=sys.stderr)
    cluster.shutdown()
    sys.exit(code)
