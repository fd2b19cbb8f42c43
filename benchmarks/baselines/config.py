"""Names and configuration of the baselines, apart from what needs other packages."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Literal

from pydantic import Field

from kpray.errors import UserError
from kpray.predictor_config import PredictorConfig
from kpray.pretrained import MINILM

Method = Literal[
    "tfidf",
    "tfidf-phrases",
    "kpminer",
    "yake",
    "textrank",
    "singlerank",
    "topicrank",
    "positionrank",
    "multipartiterank",
    "topicalpagerank",
    "embedrank",
    "mderank",
    "keybert",
    "kea",
    "kea-phrases",
]
Contestant = Literal[Method, "samrank", "samrank-paper"]
PACKAGES: dict[str, tuple[str, ...]] = {  # modules of the extra `baselines`
    "yake": ("yake",),
    "topicalpagerank": ("sklearn",),
    "kea": ("sklearn",),
    "kea-phrases": ("sklearn",),
    "embedrank": ("sentence_transformers",),
    "mderank": ("sentence_transformers",),
    "keybert": ("keybert", "sentence_transformers"),
}
NEED_BACKGROUND = frozenset({"tfidf", "tfidf-phrases", "kpminer", "topicalpagerank", "kea", "kea-phrases"})


def check_packages(method: str) -> None:
    """Check that the packages of a method are installed.

    Raises:
        UserError: one of them is not.
    """
    for module in PACKAGES.get(method, ()):
        if find_spec(module) is None:
            raise UserError(f"{method} needs {module}, which is not installed", fix="pip install 'kpray[baselines]'")


class BaselineConfig(PredictorConfig):
    """Configuration of a baseline."""

    method: Method
    """Name of the method."""
    background: tuple[str, ...] = ()
    """Files and folders of documents for document frequencies, topics and the training of Kea."""
    background_documents: Annotated[int, Field(ge=1)] = 2000
    """Maximum number of documents of the background corpus."""
    exclude: tuple[str, ...] = ()
    """Files and folders of documents that the background corpus must not contain."""
    model: str = MINILM
    """Folder or hub id of a sentence-transformers model, for the methods that compare embeddings."""
