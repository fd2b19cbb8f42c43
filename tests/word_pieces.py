"""A tokenizer of BERT's type for small models of tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

_SPECIAL = {f"{name.lower()}_token": f"[{name}]" for name in ("PAD", "UNK", "CLS", "SEP", "MASK")}


def word_pieces(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """A tokenizer that makes [CLS] text [SEP], the same in every process.

    The trainer of word pieces in tokenizers orders pieces of equal frequency at random. Here, every third word that
    `texts` do not repeat has two pieces, and all others have one.

    Args:
        texts: all their letters are pieces, too.
    """
    normalizer, splitter = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    words = Counter(word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    letters = sorted(set("".join(words)))
    pieces = [*_SPECIAL.values(), *letters, *(f"##{letter}" for letter in letters)]
    for index, (word, count) in enumerate(words.items()):
        middle = len(word) // 2
        pieces += [word] if count > 1 or not middle or index % 3 else [word[:middle], f"##{word[middle:]}"]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **_SPECIAL)
