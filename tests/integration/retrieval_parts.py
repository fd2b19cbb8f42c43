"""Tokenize and embed a few passages in several parts on Ray Data: `retrieval_parts.py STORE RETRIEVER OUTPUT`."""

from __future__ import annotations

import sys
from pathlib import Path

from kpray.batch.config import BatchConfig
from kpray.cluster.session import ray_session
from kpray.cluster.step_cache import StepCache
from kpray.corpus.store import PassageStore
from kpray.ramkg.encoder import open_retriever
from kpray.rgit import retrieval


def main() -> None:
    store, retriever, output = map(Path, sys.argv[1:])
    opened = open_retriever(str(retriever))
    retrieval.ROWS = 7
    with ray_session(None):
        tokens = retrieval.tokenize(StepCache(output), PassageStore(store), opened.config, opened.sha256, "passage")
        vectors = retrieval.embed_passages(StepCache(output), tokens, (retriever, opened.sha256), BatchConfig())
    print(vectors.folder)


if __name__ == "__main__":
    main()
