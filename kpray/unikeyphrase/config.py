"""Configuration of UniKeyphrase: what the paper has as defaults, with named options where it is silent or differs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import override

from kpray.predictor_config import TrainedConfig, TrainedOptions
from kpray.pretrained import Backbone, weights_sha256
from kpray.settings import Settings


class ModelConfig(Settings):
    """The model, its inputs and its labels: all that a prediction depends on, apart from the weights."""

    backbone: Backbone = "microsoft/unilm-base-cased"
    """A transformers model of BERT type (UniLM, BERT, MiniLM) to start from: folder or hub id."""
    relation_layers: Annotated[int, Field(ge=0)] = 2
    """Stacked relation layers, L (Sec. 3.2)."""
    relation_mask: Literal["backbone", "none"] = "backbone"
    """What co-attention may see: what the backbone's rows see, or, as Eq. 5-6 are written, every token."""
    relation_scale: Literal["one", "inverse_sqrt"] = "one"
    """Factor of the co-attention scores: 1 as in Eq. 5-6, or 1 / sqrt(hidden size)."""
    relation_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Dropout on the output of each relation layer (App. B)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout of the backbone's hidden states."""
    attention_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout of the backbone's attention weights; 0 lets a CPU use its fused attention."""
    source_tokens: Annotated[int, Field(ge=8)] = 320
    """Most tokens of [CLS] X [SEP]; the tail of a longer document is cut."""
    target_tokens: Annotated[int, Field(ge=2)] = 64
    """Most tokens of K [SEP]; whole phrases that do not fit are left out."""
    label_match: Literal["stemmed", "exact"] = "stemmed"
    """How a gold phrase is found in the text: by stemmed words, or by lower-cased words (the paper). A phrase that is
    found is labelled, any other one is generated."""
    target: Literal["absent", "all"] = "absent"
    """Phrases of the target sequence: the absent ones (the paper), or the present ones and then the absent ones."""


class LossConfig(Settings):
    """Eq. 9-15."""

    mask_probability: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Share of target tokens that are masked, and then predicted (App. B)."""
    masking: Literal["mask", "bert"] = "mask"
    """What a masked target token becomes: always [MASK], or as BERT does it [MASK] (80%), a random token (10%), or
    itself (10%)."""
    positive_weight: Annotated[float, Field(gt=0)] = 5.0
    """w_c of Eq. 13 for the labels B, I and X; O has 1."""
    bow_weight: Annotated[float, Field(ge=0)] = 1.0
    """w_m of Eq. 12, the bag-of-words constraint's weight at the end of training; 0: without the constraint."""
    reduction: Literal["sum", "mean"] = "sum"
    """A document's Eq. 13 and 14 as sums over its tokens, as written, or divided by the (weighted) number of them."""


class DecodeConfig(Settings):
    """How keyphrases are read off a trained model."""

    beams: Annotated[int, Field(ge=1)] = 5
    """Beams of the search for absent keyphrases."""
    length_penalty: Annotated[float, Field(ge=0)] = 0.0
    """A hypothesis of n tokens is ranked by log-probability / n ** penalty; 0: by log-probability."""
    empty: bool = True
    """Whether a document may have no absent keyphrase; false: the search gives at least one. A model that has learnt
    little finds ending at once more probable than any phrase."""
    outside_bias: float = 0.0
    """Added to the logit of label O before labels are read; training chooses it on its validation documents."""


class UniKeyphraseOptions(TrainedOptions):
    """How a saved UniKeyphrase predicts: what a user may set."""

    decode: DecodeConfig = DecodeConfig()


class UniKeyphraseConfig(UniKeyphraseOptions, TrainedConfig):
    """A saved UniKeyphrase, and how it predicts."""

    @override
    def weights_sha256(self) -> str:
        return weights_sha256(self.folder, fix="give a folder that training wrote")[:16]


class TaskConfig(Settings):
    """What is trained: the model, its losses, and how validation decodes."""

    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    decode: DecodeConfig = DecodeConfig(beams=1)
    """How validation reads keyphrases off the model: one beam, for speed."""
    tune_outside_bias: bool = True
    """Choose the bias of label O on the validation documents; false: the bias stays `decode.outside_bias`."""

    @model_validator(mode="after")
    def _target_leaves_room(self) -> TaskConfig:
        if self.model.target_tokens >= self.model.source_tokens:
            raise ValueError("model.target_tokens must be less than model.source_tokens")
        return self
