"""The baselines that compare embeddings: EmbedRank, MDERank and KeyBERT, with one sentence-transformers model."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.baselines.candidates import Ranking, TaggedText, best_first
from kpray.pretrained import find_model
from kpray.text.languages import primary_language

BATCH = 32
LONGEST_TEXT = 512  # tokens: the model's positions


class Embeddings:
    """A sentence-transformers model and the methods that use it."""

    def __init__(self, model: str) -> None:
        """Load the model on the CPU."""
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()
        self.model: Any = SentenceTransformer(find_model(model), device="cpu", trust_remote_code=False)
        self.model.max_seq_length = LONGEST_TEXT

    def embed(self, texts: list[str]) -> np.ndarray:
        """float32 [texts, size], of length 1."""
        vectors: np.ndarray = self.model.encode(
            texts, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False
        )
        return vectors

    def embedrank(self, document: TaggedText, top: int) -> Ranking:
        """Noun phrases by their similarity to the document's nouns and adjectives (Bennani-Smires et al., 2018)."""
        if not document.phrases:
            return []
        words = [
            document.text[start:end]
            for (start, end), content in zip(document.spans, document.content, strict=True)
            if content
        ]
        [whole] = self.embed([" ".join(words)])  # apart, because a batch is padded to its longest text
        return best_first(document.phrases, self.embed([each.text for each in document.phrases]) @ whole)

    def mderank(self, document: TaggedText, top: int) -> Ranking:
        """Noun phrases by how much the document changes when they are masked (Zhang et al., ACL 2022).

        Candidates after the first 512 tokens are left out, as in the paper.
        """
        encoding = self.model.tokenizer(
            document.text, truncation=True, max_length=LONGEST_TEXT, return_offsets_mapping=True
        )
        ids, offsets = np.array(encoding["input_ids"]), np.array(encoding["offset_mapping"])
        candidates, masked = [], []
        for candidate in document.phrases:
            inside = np.zeros(len(ids), dtype=bool)
            for start, end in document.character_spans(candidate):
                inside |= (offsets[:, 0] < end) & (offsets[:, 1] > start)
            if inside.any():
                candidates.append(candidate)
                masked.append(np.where(inside, self.model.tokenizer.mask_token_id, ids))
        if not candidates:
            return []
        whole, *vectors = self._embed_ids(np.stack([ids, *masked]))
        return best_first(candidates, 1 - np.array(vectors) @ whole)

    def keybert(self, document: TaggedText, top: int) -> Ranking:
        """KeyBERT by its own package, n-grams of up to three words."""
        from keybert import KeyBERT

        stop = "english" if primary_language(document.lang) == "en" else None
        found: Ranking = KeyBERT(self.model).extract_keywords(
            document.text, keyphrase_ngram_range=(1, 3), stop_words=stop, top_n=top
        )
        return found

    def _embed_ids(self, ids: np.ndarray) -> np.ndarray:
        """float32 [texts, size] of int64 [texts, tokens], of length 1."""
        import torch

        vectors = []
        with torch.inference_mode():
            for first in range(0, len(ids), BATCH):
                batch = torch.from_numpy(ids[first : first + BATCH])
                found = self.model({"input_ids": batch, "attention_mask": torch.ones_like(batch)})
                vectors.append(torch.nn.functional.normalize(found["sentence_embedding"], dim=1).numpy())
        return np.concatenate(vectors)
