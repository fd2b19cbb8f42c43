"""Load for `jobs/benchmark.py serve`: each user asks for the keyphrases of one document after the other.

By hand: `KPRAY_LOAD=texts.jsonl locust -f jobs/locustfile.py --headless --users 16 --run-time 20s --host http://127.0.0.1:8000`.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

from locust import FastHttpUser, task

BODIES = [
    {"documents": [{"text": json.loads(line)["text"]}]}
    for line in Path(os.environ["KPRAY_LOAD"]).read_text(encoding="utf-8").splitlines()
]


class Reader(FastHttpUser):
    """Waits for each answer before it asks again; answers are counted by their status."""

    network_timeout = connection_timeout = 120.0

    @task
    def ask(self) -> None:
        """Ask for one document."""
        with self.client.post("/v1/keyphrases", json=random.choice(BODIES), catch_response=True) as response:
            response.request_meta["name"] = str(response.status_code)
            response.success()
