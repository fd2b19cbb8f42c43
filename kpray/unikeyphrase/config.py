"""Configuration of UniKeyphrase: what the paper has as defaults, with named options where it is silent or differs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import override

from kpray.predictor_config import TrainedConfig, TrainedOptions
from kpray.pretrained import Backbone, weights_sha256
from kpray.settings import Settings
from kpray.training import OptimConfig


class ModelConfig(Settings):
    """The model, its inputs and its labels."""

    backbone: Backbone = "microsoft/unilm-base-cased"
    """Folder or hub id of the pretrained model: a transformers model of type BERT (UniLM, BERT, MiniLM)."""
    relation_layers: Annotated[int, Field(ge=0)] = 2
    """Number of stacked relation layers, L (Sec. 3.2)."""
    relation_mask: Literal["backbone", "none"] = "backbone"
    """Mask of the co-attention: the backbone's attention mask (`backbone`), or no mask (`none`, as in Eq. 5-6)."""
    relation_scale: Literal["one", "inverse_sqrt"] = "one"
    """Factor of the co-attention scores: 1 (`one`, as in Eq. 5-6), or 1 / sqrt(hidden size)."""
    relation_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Dropout rate of the output of each relation layer (App. B)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout rate of the backbone's hidden states."""
    attention_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout rate of the backbone's attention weights. 0 allows fused attention on a CPU."""
    source_tokens: Annotated[int, Field(ge=8)] = 320
    """Maximum number of tokens in [CLS] X [SEP]. Training cuts longer documents; prediction reads them in windows of
    this length (`decode.windows`)."""
    target_tokens: Annotated[int, Field(ge=2)] = 64
    """Maximum number of tokens in K [SEP]; with `target` set, in each phrase and its [SEP]. Phrases that do not fit are
    left out."""
    label_match: Literal["stemmed", "exact"] = "stemmed"
    """How gold phrases are found in the text: by stemmed words, or by lower-cased words (`exact`, as in the paper).
    Phrases that are found are labelled; the others are generated."""
    target: Literal["absent", "all", "set"] = "absent"
    """Phrases to generate: a sequence of the absent ones (as in the paper); a sequence of the present and then the
    absent ones (`all`); or the absent ones as a `set`, one from each slot (One2Set, Ye et al., 2021)."""
    slots: Annotated[int, Field(ge=1)] = 10
    """Number of slots of a document with `target` set. Each slot generates one phrase or nothing."""
    copying: bool = False
    """Generate each token from the vocabulary or copy it from the document (pointer-generator, See et al., 2017). The
    paper does not copy."""
    extraction: bool = True
    """Extract present phrases by labels. If false, the model only generates, which needs `target` all, and its loss is
    Eq. 14 alone: with 0 `relation_layers` the paper's "UNILM based keyphrase generation" (Table 5)."""

    @model_validator(mode="after")
    def _present_phrases_are_predicted(self) -> ModelConfig:
        if not self.extraction and self.target != "all":
            raise ValueError(
                "a model without extraction must generate the present phrases too; set model.target to all"
            )
        return self

    @model_validator(mode="after")
    def _slots_have_a_cache(self) -> ModelConfig:
        if self.target == "set" and self.relation_mask != "backbone":
            raise ValueError("model.target set needs the cache of decoding; set model.relation_mask to backbone")
        return self


class LossConfig(Settings):
    """The losses of training (Eq. 9-15)."""

    mask_probability: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Fraction of target tokens to mask and predict (App. B)."""
    masking: Literal["mask", "bert"] = "mask"
    """Replacement of a masked target token: always [MASK] (`mask`); or, as in BERT, [MASK] (80%), a random token (10%)
    or the token itself (10%)."""
    positive_weight: Annotated[float, Field(gt=0)] = 5.0
    """Weight w_c in Eq. 13 of the labels B, I and X. Label O has weight 1."""
    bow_weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight w_m in Eq. 12 of the bag-of-words constraint at the end of training. 0 turns the constraint off."""
    bow_rows: Literal["masked", "all"] = "masked"
    """Target tokens that the bag-of-words constraint counts: V^a(w) = sum over j of y^a_j(w), Eq. 10, where j runs over
    the masked tokens (`masked`, as N in Eq. 14 and in the published code), or over all target tokens (`all`), of which
    the unmasked ones see themselves. The gold counts are over the same tokens."""
    null_weight: Annotated[float, Field(gt=0)] = 0.1
    """Weight in Eq. 14 of the [SEP] of a slot without a phrase (`model.target` set). Other tokens have weight 1."""
    reduction: Literal["mean", "sum"] = "mean"
    """Reduction of Eq. 13 and 14 over a document's tokens: their weighted mean (as in the published code, and in Eq.
    11), or their sum (as the paper writes them)."""


class DecodeConfig(Settings):
    """Decoding of keyphrases from a trained model.

    A model with `target` set takes the best token of each slot at each step; `beams`, `length_penalty` and `empty` have
    no effect.
    """

    beams: Annotated[int, Field(ge=1)] = 5
    """Number of beams in the search for absent keyphrases."""
    length_penalty: Annotated[float, Field(ge=0)] = 0.0
    """Exponent of the length normalization. A hypothesis of n tokens is ranked by log-probability / n ** penalty."""
    empty: bool = True
    """Allow documents without absent keyphrases. If false, the search returns at least one, which helps a model that
    was trained little."""
    alternatives: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Take generated phrases from all beams' hypotheses whose probability is at least this fraction of the best one's.
    The score of a phrase is then the mean of its scores in them, weighted by their probability. 1: only from the best
    hypothesis, as in the paper."""
    generation_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight w of generation in the score of a present phrase. The score is (e + w g) / (1 + w), where e is the score
    of its labels, and g its score as a generated phrase, or 0. It needs a model that generates present phrases too
    (`model.target` all). 0: labels alone, as in the paper."""
    min_score: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Leave out present phrases with a lower score, but keep the two best of a document."""
    outside_bias: float = 0.0
    """Bias that is added to the logit of label O before decoding. Training chooses it on the validation documents."""
    windows: Annotated[int, Field(ge=1)] = 8
    """Maximum number of windows in which a long document is read, each of at most `source_tokens` tokens. The rest is
    cut off. 1 reads only the beginning of a document, as in the paper."""


class UniKeyphraseOptions(TrainedOptions):
    """Options of a saved UniKeyphrase."""

    decode: DecodeConfig = DecodeConfig()


class UniKeyphraseConfig(UniKeyphraseOptions, TrainedConfig):
    """A saved UniKeyphrase and its options."""

    @override
    def weights_sha256(self) -> str:
        return weights_sha256(self.folder, fix="give a folder that training wrote")[:16]


class TaskConfig(Settings):
    """The model to train, its losses and the decoding during validation."""

    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    decode: DecodeConfig = DecodeConfig(beams=1)
    """Decoding during validation, which uses one beam for speed."""
    tune_outside_bias: bool = True
    """Choose the bias of label O on the validation documents. If false, the bias is `decode.outside_bias`."""

    @model_validator(mode="after")
    def _target_leaves_room(self) -> TaskConfig:
        if self.model.target_tokens >= self.model.source_tokens:
            raise ValueError("model.target_tokens must be less than model.source_tokens")
        return self

    @model_validator(mode="after")
    def _bias_is_chosen_once(self) -> TaskConfig:
        if self.tune_outside_bias and self.decode.outside_bias:
            raise ValueError("decode.outside_bias has no effect with tune_outside_bias; set tune_outside_bias to false")
        return self


class PretrainConfig(OptimConfig):
    """Pretraining of the backbone and its language-model head on titles and bodies, without keyphrases."""

    epochs: Annotated[int, Field(ge=0)] = 0
    """Number of passes over the documents; 0 skips the pretraining."""
    lr: Annotated[float, Field(gt=0)] = 5e-4
    """Peak learning rate of AdamW, at the end of the warm-up."""
    mask_probability: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Probability of masking a token of the body (80% [MASK], 10% random, 10% unchanged)."""
    title_mask_probability: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Probability of masking a token of the title."""
