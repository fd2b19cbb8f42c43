"""Conversion of published models, UniLM, BERT and mBART-25, into folders that kpray loads.

These models are published as a pickle (`pytorch_model.bin`) with an old configuration and a vocabulary file. Only
tensors are read from the pickle: code in it is refused, not run.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kpray.claims import claimed, sibling
from kpray.errors import UserError
from kpray.json_files import read_object
from kpray.pretrained import UNILM_SEGMENTS, UNILM_SOURCE, UNILM_TARGET, load_pretrained
from kpray.storage import whole_folder
from kpray.torch_files import read_torch_file

if TYPE_CHECKING:
    from torch import Tensor

Case = Literal["cased", "uncased"]
WEIGHTS = "pytorch_model.bin"
_FOLDER_FIX = "give a folder with pytorch_model.bin, config.json, and vocab.txt or sentencepiece.bpe.model"
_BERT_TYPES = ("", "bert", "unilm")  # old files have no type
_BERT_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_PADDING = 128  # some models round the number of embeddings up to a multiple of this number at most
# Parts of a BERT that a publisher may have left out, each as a whole.
_LM_HEAD = "cls.predictions."
_OPTIONAL = ("bert.pooler.", _LM_HEAD, "cls.seq_relationship.")
_NO_WEIGHT = re.compile(r"\.(position_ids|version)$")  # constants that old versions of libraries saved, too
# Shares of words with a capital letter in a vocabulary: about 0.3 in BERT base cased, 0 in BERT base uncased.
_CASED_FROM, _UNCASED_TO = 0.1, 0.01


def convert_model(folder: Path, output: Path, case: Case | None = None) -> str:
    """Write a published model as safetensors, config.json and a fast tokenizer. Weights keep their values and dtype.

    Args:
        folder: a folder with `pytorch_model.bin`, `config.json`, and `vocab.txt` (UniLM, BERT) or
            `sentencepiece.bpe.model` (mBART-25).
        output: the new folder. It is complete, or does not exist.
        case: whether the tokenizer keeps capital letters; None: as the folder says. Only for `vocab.txt`.

    Returns:
        What was written, in a few words.

    Raises:
        UserError: a file is missing or cannot be read, the pickle has more than tensors, the files do not fit each
            other, it is not known whether the tokenizer is cased, or the output exists.
    """
    if output.exists():
        raise UserError("the output exists", where=str(output), fix="choose another folder, or remove it")
    if not folder.is_dir():
        raise UserError("there is no such folder", where=str(folder), fix=_FOLDER_FIX)
    config = _read_json(folder, "config.json")
    kind = config.get("model_type") or ""
    if kind not in (*_BERT_TYPES, "mbart") or (kind == "" and "num_hidden_layers" not in config):
        what = f"a model of type {kind}" if kind else "no configuration of a BERT"
        fix = "kpray convert reads UniLM, BERT and mBART-25"
        raise UserError(f"{what} cannot be converted", where=str(folder / "config.json"), fix=fix)
    if kind == "mbart" and case is not None:
        raise UserError("the tokenizer of mBART is always cased", where="case", fix="leave it out")
    weights = _file(folder, WEIGHTS)
    model = _empty_model(folder, config)
    try:
        with claimed(output, sibling(output)), whole_folder(output) as unfinished:
            if kind == "mbart":
                about = _write_sentencepiece(folder, unfinished, model.config)
            else:
                about = _write_wordpiece(folder, unfinished, config, case)
            if not _write_weights(weights, unfinished, model):
                about += ", without a language-model head"
            model.config.to_json_file(unfinished / "config.json", use_diff=False)
    except OSError as error:
        where = str(error.filename or output)
        raise UserError(f"cannot read or write: {error.strerror}", where=where, fix="check the file") from error
    return about


def _file(folder: Path, name: str) -> Path:
    """The path of a file that must exist."""
    if not (folder / name).is_file():
        raise UserError("there is no such file", where=str(folder / name), fix=_FOLDER_FIX)
    return folder / name


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    return read_object(_file(folder, name), "download it again")


def _empty_model(folder: Path, config: Mapping[str, Any]) -> Any:
    """The model that a configuration describes, without memory for its weights."""
    import torch
    from huggingface_hub.errors import StrictDataclassError
    from transformers import BertConfig, BertForPreTraining, MBartConfig, MBartForConditionalGeneration

    mbart = config.get("model_type") == "mbart"
    factory: Any = MBartConfig if mbart else BertConfig
    known = {name: config[name] for name in factory.__annotations__ if name in config}
    try:
        if not mbart:
            known |= _unilm_values(config)
        with torch.device("meta"):
            return (MBartForConditionalGeneration if mbart else BertForPreTraining)(factory(**known))
    except (KeyError, RuntimeError, StrictDataclassError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        where = str(folder / "config.json")
        raise UserError(f"does not describe a model: {reason}", where=where, fix="download it again") from error


def _unilm_values(config: Mapping[str, Any]) -> dict[str, Any]:
    """Values that UniLM's configurations leave out or name differently from BERT's."""
    segments = config.get("type_vocab_size", 2)
    unilm = segments == UNILM_SEGMENTS
    epsilon = config.get("layer_norm_epsilon", 1e-5 if unilm else 1e-12)
    values = {"layer_norm_eps": config.get("layer_norm_eps", epsilon)}
    for name, default in (("source_type_id", UNILM_SOURCE), ("target_type_id", UNILM_TARGET)):
        if name in config or unilm:
            values[name] = config.get(name, default)
            if values[name] not in range(segments):
                raise ValueError(f"{name} is {values[name]}, and there are {segments} segment types")
    return values


def _write_weights(path: Path, output: Path, model: Any) -> bool:
    """Write the weights of `model` from a pickle, and set `architectures` of its configuration.

    Returns:
        Whether there is a language-model head.
    """
    from safetensors.torch import save_file

    found = {_new_name(name): tensor for name, tensor in _read_pickle(path).items() if not _NO_WEIGHT.search(name)}
    expected: dict[str, Tensor] = model.state_dict()
    where, fix = str(path), "use pytorch_model.bin and config.json of the same model"
    unknown = sorted(found.keys() - expected.keys())
    if unknown:
        what = f"has {len(unknown)} weights that a {type(model).__name__} does not have, such as {unknown[0]}"
        raise UserError(what, where=where, fix=fix)
    for name, tensor in found.items():
        if tensor.shape != expected[name].shape:
            shapes = f"the shape {list(tensor.shape)}, and config.json says {list(expected[name].shape)}"
            raise UserError(f"{name} has {shapes}", where=where, fix=fix)
    tied: dict[str, str] = model.all_tied_weights_keys
    for copy, original in tied.items():
        if copy in found and original in found and not found[copy].equal(found[original]):
            raise UserError(f"{copy} differs from {original}, which must be equal", where=where, fix=fix)
    parts = [part for part in _OPTIONAL if any(name.startswith(part) for name in expected)]
    absent = tuple(part for part in parts if not any(name.startswith(part) for name in found))
    missing = [name for name in expected.keys() - found.keys() - tied.keys() if not name.startswith(absent)]
    if "final_logits_bias" in missing:  # zero in every mBART, and left out by some
        missing.remove("final_logits_bias")
    if missing:
        raise UserError(f"lacks {len(missing)} weights, such as {min(missing)}", where=where, fix=fix)
    kept = {name: tensor for name, tensor in found.items() if name not in tied}
    # Tensors that repeat a few numbers could take any amount of memory and disk.
    if sum(tensor.nbytes for tensor in kept.values()) > path.stat().st_size:
        raise UserError("has weights that are larger than the file", where=where, fix=fix)
    save_file(
        {name: tensor.contiguous() for name, tensor in kept.items()},
        output / "model.safetensors",
        metadata={"format": "pt"},
    )
    headless = _LM_HEAD in absent
    name = "BertForMaskedLM" if absent else type(model).__name__
    model.config.architectures = ["BertModel" if headless else name]
    return not headless


def _new_name(name: str) -> str:
    """The name of a weight in transformers: old BERTs name the weights of layer norms as TensorFlow does."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _read_pickle(path: Path) -> dict[str, Tensor]:
    """The tensors in a file of `torch.save`. Nothing else in it is read, and no code is run."""
    import torch

    where = str(path)
    found = read_torch_file(
        path,
        if_code="use a file that has only weights, from a publisher whom you trust",
        if_damaged="download it again",
    )
    fix = "give the weights of the model alone, a dictionary of tensors"
    if not isinstance(found, dict) or not found:
        raise UserError("is not a dictionary of weights", where=where, fix=fix)
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise UserError(f"the entry {name!r} is not a weight", where=where, fix=fix)
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise UserError(f"the weight {name} is not an ordinary tensor", where=where, fix=fix)
    return found


def _write_wordpiece(folder: Path, output: Path, config: Mapping[str, Any], case: Case | None) -> str:
    """Write the tokenizer of a BERT. Returns a description of the model."""
    from transformers import BertTokenizer

    path = _file(folder, "vocab.txt")
    vocabulary = _read_vocabulary(path)
    size = config.get("vocab_size", len(vocabulary))
    if not len(vocabulary) <= size < len(vocabulary) + _PADDING:
        fix = "use vocab.txt and config.json of the same model"
        raise UserError(f"has {len(vocabulary)} tokens, and config.json says {size}", where=str(path), fix=fix)
    settings = _read_json(folder, "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    chosen = _choose_case(path, vocabulary, case, {**config, **settings}.get("do_lower_case"))
    options = {name: settings[name] for name in ("strip_accents", "tokenize_chinese_chars") if name in settings}
    BertTokenizer(vocab=vocabulary, do_lower_case=chosen == "uncased", **options).save_pretrained(output)
    values = _unilm_values(config)
    if "source_type_id" not in values:
        return f"BERT, {chosen}"
    return f"UniLM, {chosen}, segments {values['source_type_id']} (source) and {values['target_type_id']} (target)"


def _read_vocabulary(path: Path) -> dict[str, int]:
    """Tokens and their ids, which are line numbers from 0."""
    try:
        with path.open(encoding="utf-8") as file:  # other line ends than \n, \r and \r\n are in tokens
            tokens = [line.rstrip("\n") for line in file]
    except UnicodeDecodeError as error:
        raise UserError("is not UTF-8", where=str(path), fix="download it again") from error
    while tokens and not tokens[-1]:
        tokens.pop()
    vocabulary = {token: index for index, token in enumerate(tokens)}
    missing = [token for token in _BERT_TOKENS if token not in vocabulary]
    if missing:
        fix = "use the vocabulary of a BERT, with one token on each line"
        raise UserError(f"has no token {missing[0]}", where=str(path), fix=fix)
    # UniLM v1.2 has a token twice. Its first id would be free, and a token that is added later would receive it.
    free = set(range(len(tokens))) - set(vocabulary.values())
    return dict(sorted({**vocabulary, **{f"[unused id {id}]": id for id in free}}.items(), key=lambda item: item[1]))


def _choose_case(path: Path, vocabulary: Mapping[str, int], asked: Case | None, lower: object) -> Case:
    """Whether a tokenizer is cased, from the option or the folder's `do_lower_case`. The vocabulary must agree."""
    words = [token for token in vocabulary if not token.startswith("[") and token.upper() != token.lower()]
    capitals = sum(word != word.lower() for word in words)
    count = f"{capitals:,} of its {len(words):,} words have capital letters"
    cased, uncased = capitals > _CASED_FROM * len(words), capitals <= _UNCASED_TO * len(words)
    if asked is None and isinstance(lower, bool):
        asked = "uncased" if lower else "cased"
    if asked is None:
        looks = "--case cased, most likely" if cased else "--case uncased, most likely" if uncased else "--case"
        what = f"the folder does not say whether the model is cased; {count}"
        raise UserError(what, where=str(path), fix=f"look at where the model was published, and add {looks}")
    if (asked == "cased" and words and uncased) or (asked == "uncased" and cased):
        fix = "use the vocabulary of the same model, or the other --case"
        raise UserError(f"is not {asked}: {count}", where=str(path), fix=fix)
    return asked


def _write_sentencepiece(folder: Path, output: Path, config: Any) -> str:
    """Write the tokenizer of mBART-25. Returns a description of the model.

    It has the normalization (NFKC) of the SentencePiece model, which transformers' `MBartTokenizer` leaves out: there,
    the ligature "ﬁ" of a PDF becomes an unknown token. Therefore it is a tokenizer of no particular class.
    """
    from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2
    from tokenizers import normalizers
    from transformers import MBartTokenizer, PreTrainedTokenizerFast

    path = _file(folder, "sentencepiece.bpe.model")
    try:
        SentencePieceProcessor(model_file=str(path))
    except RuntimeError as error:
        raise UserError("is not a SentencePiece model", where=str(path), fix="download it again") from error
    protocol: Any = sentencepiece_model_pb2
    charsmap = protocol.ModelProto.FromString(path.read_bytes()).normalizer_spec.precompiled_charsmap
    with tempfile.TemporaryDirectory() as alone:  # next to a tokenizer.json, the SentencePiece model is not read
        shutil.copy(path, alone)
        mbart = load_pretrained(MBartTokenizer, alone)
    if len(mbart) != config.vocab_size:
        fix = "use sentencepiece.bpe.model and config.json of mBART-25"
        what = f"gives {len(mbart)} tokens, and config.json says {config.vocab_size}"
        raise UserError(what, where=str(path), fix=fix)
    if charsmap:
        mbart.backend_tokenizer.normalizer = normalizers.Precompiled(charsmap)
    languages = list(mbart.lang_code_to_id)
    PreTrainedTokenizerFast(
        tokenizer_object=mbart.backend_tokenizer, additional_special_tokens=languages, **mbart.special_tokens_map
    ).save_pretrained(output)
    return f"mBART, {len(languages)} languages"
