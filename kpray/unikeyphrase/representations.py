"""Representations of tokens for extraction and generation (UniKeyphrase, Fig. 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from kpray.document import Document
from kpray.unikeyphrase.decode import read_documents
from kpray.unikeyphrase.predictor import UniKeyphrase


@torch.inference_mode()
def task_representations(predictor: UniKeyphrase, documents: Sequence[Document]) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of P_L for the source tokens, and of A_L for the target tokens that the model generates.

    Returns:
        Float32 [source tokens, H] and [target tokens, H], concatenated over all documents.
    """
    sources = [window for document in documents for window in predictor.prepare(document).windows]
    readings = read_documents(
        predictor.model, predictor.encoder, sources, predictor.config.decode, predictor.config.batch_tokens
    )
    nothing = np.zeros((0, predictor.model.config.hidden_size), np.float32)
    extraction, generation = [nothing], [nothing]
    for source, reading in zip(sources, readings, strict=True):
        ids = torch.from_numpy(np.concatenate([source.ids, reading.target]).astype(np.int64))[None]
        device = predictor.model.device
        source_lengths, lengths = torch.tensor([[len(source.ids)], [ids.shape[1]]], device=device)
        slots = None
        if reading.slots is not None:
            slots = torch.from_numpy(np.pad(reading.slots, (len(source.ids), 0), constant_values=-1))[None].to(device)
        P_BTH, A_BTH = predictor.model.represent(ids.to(device), source_lengths, lengths, slots)
        extraction.append(P_BTH[0, 1 : len(source.ids) - 1].float().cpu().numpy())
        generation.append(A_BTH[0, len(source.ids) :].float().cpu().numpy())
    return np.concatenate(extraction), np.concatenate(generation)
