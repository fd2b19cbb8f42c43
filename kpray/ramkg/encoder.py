"""The retriever's encoder, which queries and passages share (Sec. 4.1): tokenization, embedding, loading and saving."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from kpray.batches import BatchTokens, batches_by_length
from kpray.document import Document, Record
from kpray.errors import RejectedDocument, UserError
from kpray.json_files import read_object
from kpray.pretrained import find_model, load_pretrained, load_tokenizer, save_model
from kpray.ramkg.config import RetrieverConfig
from kpray.settings import validate_settings
from kpray.transfer import start_copy, to_device

SETTINGS_FILE = "retriever.json"
BATCH_TOKENS = BatchTokens()
_BATCHES_AHEAD = 2  # batches that are sent to a GPU before the vectors of an earlier one are read
_DELIMITER = " ; "  # between keyphrases
_VECTOR_FIELDS = {"pooling", "marks", "passage_tokens", "target"}  # fields of the configuration that affect vectors
_UNSEEN_IN_WEIGHTS = ("model_type", "num_attention_heads", "hidden_act", "layer_norm_eps")


class PassageEncoder(nn.Module):
    """A transformers encoder that gives one vector for each text.

    Vectors are not normalized; scores are inner products. Queries and passages share one encoder (App. A.1: sharing
    "can perform slightly better").

    Attributes:
        model: the encoder, without its pooler.
        pooling: vector of a text: `cls`, the vector of its first token, or `mean`, the mean over all tokens.
    """

    def __init__(self, model: PreTrainedModel, pooling: Literal["cls", "mean"]) -> None:
        super().__init__()
        if getattr(model, "pooler", None) is not None:
            model.register_module("pooler", None)  # not used
        self.model, self.pooling = model, pooling

    @property
    def size(self) -> int:
        """Size of a vector, D."""
        size: int = self.model.config.hidden_size
        return size

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Compute the vectors of texts.

        Args:
            input_ids: int64 [N, T], tokens of each text, followed by padding.
            attention_mask: int64 [N, T], 1 for tokens and 0 for padding.

        Returns:
            Float32 [N, D].
        """
        hidden_NTD: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        if self.pooling == "cls":
            return hidden_NTD[:, 0].float()
        hidden_NTD = hidden_NTD.float()
        weights_NT1 = attention_mask[:, :, None].to(hidden_NTD.dtype)
        return (hidden_NTD * weights_NT1).sum(1) / weights_NT1.sum(1)

    def gradient_checkpointing_enable(self) -> None:
        """Keep only each layer's inputs for the backward pass."""
        enable: Any = getattr(self.model, "activation_checkpointing_enable", None)  # its name in newer transformers
        (enable or self.model.gradient_checkpointing_enable)({"use_reentrant": False})


class TextEncoder:
    """Tokenizes texts as [CLS] [unused1] title [unused2] context [SEP], like the official code.

    Attributes:
        tokenizer: tokenizer of the model.
        config: its fields `marks`, `passage_tokens` and `target` are used.
        pad_id: id of padding.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, config: RetrieverConfig) -> None:
        """Check and set up a fast tokenizer.

        Raises:
            UserError: the tokenizer has no [CLS], [SEP] or [PAD], or lacks the marks.
        """
        self.tokenizer, self.config = tokenizer, config
        self._backend: Any = tokenizer.backend_tokenizer
        special = [getattr(tokenizer, f"{kind}_token_id") for kind in ("cls", "sep", "pad")]
        if None in special:
            raise UserError(
                f"the tokenizer of {config.backbone!r} has no [CLS], [SEP] or [PAD]",
                where="retriever.backbone",
                fix="choose an encoder such as BERT or XLM-R",
            )
        self._cls, self._sep, self.pad_id = special
        marks = [self._backend.token_to_id(mark) for mark in config.marks or ()]
        if None in marks:
            raise UserError(
                f"the tokenizer of {config.backbone!r} lacks {(config.marks or ())[marks.index(None)]!r}",
                where="retriever.marks",
                fix="name two tokens of the tokenizer, or null",
            )
        self._before_title, self._before_context = ([mark] for mark in marks) if marks else ([], [])
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.encode_special_tokens = True  # "[SEP]" in a text is plain text

    def encode_queries(self, documents: Sequence[Document]) -> list[np.ndarray]:
        """Token ids of query documents, from title and body only.

        Returns:
            int32 [tokens] for each document, at most `passage_tokens`.

        Raises:
            RejectedDocument: a text is not valid Unicode.
        """
        return self._encode([(document.title, document.body) for document in documents])

    def encode_passages(self, records: Sequence[Record]) -> list[np.ndarray]:
        """Token ids of the retrieval targets of English documents, see `RetrieverConfig.target` (App. A.2).

        P2P: title and passage; P2K: keyphrases; P2PK: title and passage, followed by the keyphrases.

        Returns:
            int32 [tokens] for each document, at most `passage_tokens`.

        Raises:
            RejectedDocument: a text is not valid Unicode.
        """
        texts = []
        for record in records:
            document, keyphrases = record.document, _DELIMITER.join(record.keyphrases)
            if self.config.target == "P2P":
                texts.append((document.title, document.body))
            elif self.config.target == "P2K":
                texts.append(("", keyphrases))
            else:
                texts.append((document.title, f"{document.body} {keyphrases}"))
        return self._encode(texts)

    def is_empty(self, ids: np.ndarray) -> bool:
        """Whether token ids have only special tokens and marks."""
        return len(ids) <= 2 + len(self._before_title) + len(self._before_context)

    def _encode(self, texts: Sequence[tuple[str, str]]) -> list[np.ndarray]:
        """Token ids of (title, context) pairs."""
        parts = [part for text in texts for part in text]
        try:
            encodings = self._backend.encode_batch_fast(parts, add_special_tokens=False)
        except (UnicodeEncodeError, TypeError) as error:
            if any(map(_has_surrogate, parts)):
                raise RejectedDocument("invalid Unicode (a lone surrogate)") from error
            raise
        limit = self.config.passage_tokens - 2
        rows = []
        for title, context in zip(encodings[::2], encodings[1::2], strict=True):
            inner = [*self._before_title, *title.ids[:limit], *self._before_context, *context.ids[:limit]]
            rows.append(np.array([self._cls, *inner[:limit], self._sep], dtype=np.int32))
        return rows


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def pad(rows: Sequence[np.ndarray], pad_id: int) -> tuple[Tensor, Tensor]:
    """Pad token ids to a batch on the CPU: ids and attention mask, int64 [N, T] each."""
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, pad_id, dtype=np.int64)
    ids[mask] = np.concatenate(rows)
    return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


@torch.inference_mode()
def embed(
    encoder: PassageEncoder,
    rows: Sequence[np.ndarray],
    batch_tokens: int | None = None,
    dtype: Literal["float16", "float32"] = "float32",
) -> np.ndarray:
    """Embed texts without dropout, in batches of similar length.

    Args:
        encoder: the encoder, on any device, in any precision.
        rows: token ids of each text.
        batch_tokens: maximum number of tokens in one forward pass, padding included; None: the default for the
            encoder's device.
        dtype: dtype of the result.

    Returns:
        [texts, D], in the order of `rows`. The last digits of a vector depend on its batch.
    """
    device = next(encoder.parameters()).device
    batch_tokens = BATCH_TOKENS.choose(batch_tokens, device)
    pad_id = encoder.model.config.pad_token_id or 0
    vectors = np.empty((len(rows), encoder.size), dtype=dtype)
    was_training = encoder.training
    encoder.eval()
    waiting: deque[tuple[list[int], Callable[[], np.ndarray]]] = deque()
    for batch in batches_by_length([len(row) for row in rows], batch_tokens):
        ids, mask = pad([rows[index] for index in batch], pad_id)
        waiting.append((batch, start_copy(encoder(to_device(ids, device), to_device(mask, device)))))
        if len(waiting) > _BATCHES_AHEAD:
            done, wait = waiting.popleft()
            vectors[done] = wait()
    for done, wait in waiting:
        vectors[done] = wait()
    encoder.train(was_training)
    return vectors


@dataclass(frozen=True, slots=True)
class Retriever:
    """An encoder with its tokenizer and configuration.

    Attributes:
        encoder: the encoder in float32, on the CPU, in evaluation mode.
        texts: tokenizer of the encoder.
        config: configuration of its training; `backbone` is the opened folder or hub id.
        sha256: SHA-256 of everything that vectors depend on, such as weights and tokenizer. An index stores it.
    """

    encoder: PassageEncoder
    texts: TextEncoder
    config: RetrieverConfig
    sha256: str


def open_retriever(name: str, config: RetrieverConfig | None = None) -> Retriever:
    """Open a retriever that training wrote, or a pretrained encoder.

    Args:
        name: folder or hub id.
        config: required for a pretrained encoder. For a trained retriever, it must agree with the saved configuration
            in all fields that vectors depend on; None: the saved configuration.

    Raises:
        UserError: the retriever cannot be loaded, or `config` does not agree with the saved configuration.
    """
    settings = Path(find_model(name)) / SETTINGS_FILE
    if settings.exists():
        values = read_object(settings, "give a folder that training wrote")
        saved = validate_settings(RetrieverConfig, values, where=str(settings))
        for field in sorted(_VECTOR_FIELDS) if config else ():
            if getattr(config, field) != getattr(saved, field):
                raise UserError(
                    f"the retriever was trained with {field} = {getattr(saved, field)!r}, "
                    f"not {getattr(config, field)!r}",
                    where=str(settings),
                    fix="use the value of the training, or train another retriever",
                )
        config = saved
    if config is None:
        raise UserError(
            f"there is no {SETTINGS_FILE}", where=name, fix="give a folder that the training of a retriever wrote"
        )
    config = config.model_copy(update={"backbone": name})
    texts = TextEncoder(load_tokenizer(name), config)
    encoder = load_encoder(texts)
    return Retriever(encoder, texts, config, _sha256(encoder, texts))


def load_encoder(texts: TextEncoder) -> PassageEncoder:
    """Load the encoder `texts.config.backbone` in float32, on the CPU, in evaluation mode.

    Raises:
        UserError: the model cannot be loaded, is not an encoder, is incomplete, or does not match the tokenizer.
    """
    config, where = texts.config, "retriever.backbone"
    model, report = load_pretrained(
        AutoModel,
        config.backbone,
        dtype=torch.float32,
        use_safetensors=True,
        attn_implementation="sdpa",
        output_loading_info=True,
    )
    if model.config.is_encoder_decoder or getattr(model.config, "is_decoder", False):
        raise UserError(
            f"{config.backbone!r} is not an encoder", where=where, fix="choose an encoder such as BERT or XLM-R"
        )
    absent = [name for name in report["missing_keys"] if not name.startswith("pooler.")]
    if absent:  # transformers would use random weights instead
        raise UserError(
            f"{config.backbone!r} lacks {len(absent)} weights, such as {min(absent)}",
            where=where,
            fix="download or copy the model again",
        )
    if len(texts.tokenizer) > model.config.vocab_size:
        raise UserError(
            f"the tokenizer of {config.backbone!r} has more tokens than the model",
            where=where,
            fix="use the tokenizer and the weights of the same model",
        )
    longest = _max_tokens(model)
    if longest is not None and config.passage_tokens > longest:
        raise UserError(
            f"{config.passage_tokens} tokens are too many: {config.backbone!r} reads at most {longest}",
            where="retriever.passage_tokens",
            fix=f"give at most {longest}",
        )
    return PassageEncoder(model, config.pooling).eval()


def save_retriever(encoder: PassageEncoder, texts: TextEncoder, folder: Path) -> None:
    """Write a folder for `open_retriever`, which can also be the backbone of another training."""
    save_model(encoder.model, folder)
    texts.tokenizer.save_pretrained(folder)
    settings = json.dumps(texts.config.model_dump(mode="json"), indent=2)
    (folder / SETTINGS_FILE).write_text(settings + "\n", encoding="utf-8")


def _max_tokens(model: PreTrainedModel) -> int | None:
    """Maximum number of tokens in a text; None for relative positions."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            # In models like RoBERTa, the first position is padding_idx + 1.
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    return None


def _sha256(encoder: PassageEncoder, texts: TextEncoder) -> str:
    """SHA-256 of the float32 weights, and of the parts of configuration, architecture and tokenizer that matter."""
    architecture = {name: getattr(encoder.model.config, name, None) for name in _UNSEEN_IN_WEIGHTS}
    about = {
        "config": texts.config.model_dump(mode="json", include=_VECTOR_FIELDS),
        "architecture": architecture,
        "tokenizer": texts.tokenizer.backend_tokenizer.to_str(),
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, weights in sorted(encoder.state_dict().items()):
        digest.update(f"{name} {tuple(weights.shape)} {weights.dtype}".encode())
        digest.update(weights.contiguous().numpy().data)
    return digest.hexdigest()
