"""Evidence of a generated phrase, with a small model that has learned what depends on the retrieved keyphrases."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from kpray.document import Document
from kpray.predictor import Evidence, Support
from kpray.ramkg.codemix import CodeMixer, Marks, load_mixer
from kpray.ramkg.config import GenerateConfig
from kpray.ramkg.evidence import find_support, keyphrase_gains, without_each
from kpray.ramkg.generator import Generated, Generator, Phrase, collate_targets, encode, load_model, target_logits
from tests.ramkg.tiny_generator import make_config

TEXT = "tiefe Netze lernen"
# "Graphentheorie" depends on the keyphrase "graph theory" alone, "Netze" on the text.
EXAMPLES = [
    (["graph theory", "networks"], ["Graphentheorie", "Netze"]),
    (["networks", "graph theory"], ["Graphentheorie", "Netze"]),
    (["graph theory"], ["Graphentheorie", "Netze"]),
    (["corpora", "networks"], ["Korpora", "Netze"]),
    (["networks", "corpora"], ["Korpora", "Netze"]),
    (["networks"], ["Netze"]),
    ([], ["Netze"]),
]
PASSAGES = [["networks"], ["graph theory", "Networks"]]


def make_sources(mixer: CodeMixer, english: list[list[str]]) -> list[Any]:
    return mixer.sources([TEXT] * len(english), [mixer.language("de")] * len(english), english)


@pytest.fixture(scope="module")
def generator(seq2seq: dict[str, str]) -> Generator:
    """A generator that has memorized `EXAMPLES`."""
    mixer = load_mixer(make_config(seq2seq["mbart25"]))
    torch.manual_seed(1)
    model = load_model(mixer).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    start = mixer.frame(mixer.language("de")).start
    targets: list[Any] = mixer.targets([phrases for _, phrases in EXAMPLES])
    batch = collate_targets(targets, [start] * len(targets), mixer.pad_id)
    sources = make_sources(mixer, [english for english, _ in EXAMPLES])
    for _ in range(60):
        hidden, mask = encode(sources, model, mixer.pad_id)
        logits = target_logits(
            model,
            batch["target_rows"],
            encoder_outputs=(hidden,),
            attention_mask=mask,
            decoder_input_ids=batch["decoder_input_ids"],
        )
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits, batch["target_ids"]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return Generator(model, mixer, GenerateConfig(beams=2))


def test_each_keyphrase_leaves_with_its_separator() -> None:
    marks = Marks(enkps=90, ctx=91, sep=92, end=93)
    found = without_each(np.array([5, 90, 1, 92, 2, 3, 92, 4, 91, 7, 8]), marks)
    assert [row.tolist() for row in found] == [
        [5, 90, 2, 3, 92, 4, 91, 7, 8],
        [5, 90, 1, 92, 4, 91, 7, 8],
        [5, 90, 1, 92, 2, 3, 91, 7, 8],
    ]
    assert [row.tolist() for row in without_each(np.array([90, 1, 2, 91, 7]), marks)] == [[90, 91, 7]]
    assert without_each(np.array([90, 91, 7]), marks) == []


def test_a_phrase_rests_on_the_keyphrase_that_it_depends_on(generator: Generator) -> None:
    english = [[*PASSAGES[0], *PASSAGES[1]], ["graph theory", "networks"], []]
    sources = make_sources(generator.mixer, english)
    langs = ["de"] * len(sources)
    generated = generator.sequences(sources, langs)
    assert [phrase.text for phrase in generated[1].phrases] == ["Graphentheorie", "Netze"]
    gains = keyphrase_gains(generator, sources, langs, generated)
    assert [each.shape for each in gains] == [(2, 2), (2, 2), (0, 1)]  # "networks" is in the input once
    evidence = [Evidence(Document(str(row), "x", lang="en"), tuple(of), 0.5) for row, of in enumerate(PASSAGES)]
    keyphrases = [text for text, _ in generator.mixer.hints(english)[0]]
    found = find_support(keyphrases, gains[0], generated[0], evidence)
    assert [(each.keyphrase, each.passages) for each in found["Graphentheorie"]] == [("graph theory", (1,))]
    assert found["Graphentheorie"][0].gain > 3
    assert found["Netze"] == ()
    alone = keyphrase_gains(generator, sources[:1], langs[:1], generated[:1], batch_tokens=1)
    np.testing.assert_allclose(alone[0], gains[0], atol=0.011)


def test_gains_are_those_of_the_formula(generator: Generator) -> None:
    """The oracle: one input and one phrase at a time, token by token."""
    model, mixer = generator.model, generator.mixer
    english = ["networks", "graph theory", "corpora"]
    [source] = make_sources(mixer, [english])
    [generated] = generator.sequences([source], ["de"])
    [gains] = keyphrase_gains(generator, [source], ["de"], [generated])
    start = mixer.frame(mixer.language("de")).start

    def log2_probability(kept: list[str], phrase: Phrase) -> float:
        [ids] = make_sources(mixer, [kept])  # nothing was cut, so that this input is the other one without a keyphrase
        total = 0.0
        for index in range(*phrase.span):
            with torch.no_grad():
                logits = model(
                    input_ids=torch.tensor(ids[None].tolist()),
                    decoder_input_ids=torch.tensor([[*start, *generated.ids[:index]]]),
                ).logits[0, -1]
            total += float(logits.log_softmax(0)[generated.ids[index]]) / math.log(2)
        return total

    for row, keyphrase in enumerate(english):
        rest = [other for other in english if other != keyphrase]
        for column, phrase in enumerate(generated.phrases):
            expected = log2_probability(english, phrase) - log2_probability(rest, phrase)
            assert gains[row, column] == pytest.approx(expected, abs=0.01)
    assert mixer.decode(generated.ids[slice(*generated.phrases[0].span)]) == generated.phrases[0].text


def test_support_is_sorted_by_gain_and_names_all_passages() -> None:
    passages = [
        Evidence(Document("", "x", lang="en"), keyphrases, 0.0) for keyphrases in (("Graphs",), ("graphs", "a"))
    ]
    generated = Generated([], [Phrase("p", 0.5, (0, 1)), Phrase("q", 0.4, (2, 3))])
    gains = np.array([[1.0, 0.99], [2.5, -3.0]])
    assert find_support(["Graphs", "a", "cut"], gains, generated, passages) == {
        "p": (Support("a", (1,), 2.5), Support("Graphs", (0, 1), 1.0)),
        "q": (),
    }
