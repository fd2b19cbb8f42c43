"""Load for `benchmarks/run.py serve`: each user sends one request after the other.

By hand: `KPRAY_LOAD=requests.jsonl locust -f benchmarks/locustfile.py --headless --users 16 --run-time 20s --host
http://127.0.0.1:8000`, where each line is the body of a request; KPRAY_LOAD_PER_USER: requests/s of a user.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from locust import FastHttpUser, constant_throughput, task

BODIES = Path(os.environ["KPRAY_LOAD"]).read_text(encoding="utf-8").splitlines()
PER_SECOND = float(os.environ.get("KPRAY_LOAD_PER_USER", "inf"))
HEADERS = {"Content-Type": "application/json"}


class Reader(FastHttpUser):
    """Waits for each answer before it asks again; answers are counted by their status."""

    network_timeout = connection_timeout = 120.0
    wait_time = constant_throughput(PER_SECOND)

    def on_start(self) -> None:
        """Not all at the same moment."""
        time.sleep(random.random() / PER_SECOND)  # locust makes it wait in this user alone

    @task
    def ask(self) -> None:
        """Ask once."""
        body = random.choice(BODIES)
        with self.client.post("/v1/keyphrases", data=body, headers=HEADERS, catch_response=True) as response:
            response.request_meta["name"] = str(response.status_code)
            response.success()
