"""The transformer in scikit-learn itself: pipelines, clones, pickles, columns, and scikit-learn's own checks."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kpray.errors import UserError
from kpray.predictor import Predictor
from tests.adapters.conftest import TEXTS

pytest.importorskip("sklearn", reason="scikit-learn (extra `sklearn`) is not installed")

import joblib
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks

from kpray.adapters.sklearn import KeyphraseTransformer


def test_texts_become_keyphrases(config: dict[str, Any], phrases: list[list[str]]) -> None:
    transformer = KeyphraseTransformer(config=config, lowercase=False)
    assert transformer.fit_transform(TEXTS) == phrases
    assert KeyphraseTransformer(config=config).transform(TEXTS) == [[each.lower() for each in some] for some in phrases]


def test_open_predictor_is_taken(predictor: Predictor[Any], phrases: list[list[str]]) -> None:
    transformer = KeyphraseTransformer(predictor, top=1, lowercase=False)
    assert transformer.transform(pd.Series(TEXTS)) == [each[:1] for each in phrases]
    assert clone(transformer).predictor is predictor


def test_parameters() -> None:
    transformer = KeyphraseTransformer("samrank", top=3)
    assert clone(transformer).get_params() == {"predictor": "samrank", "config": None, "top": 3, "lowercase": True}
    assert transformer.set_params(top=5).top == 5


def test_pipeline(config: dict[str, Any], phrases: list[list[str]], tmp_path: Path) -> None:
    pipeline = make_pipeline(KeyphraseTransformer(config=config), CountVectorizer(analyzer=list), LogisticRegression())
    pipeline.fit(TEXTS, ["sun", "wind"])
    assert list(pipeline.predict(TEXTS)) == ["sun", "wind"]
    names = set(pipeline[1].get_feature_names_out())
    assert names == {each.lower() for some in phrases for each in some}
    joblib.dump(pipeline, tmp_path / "pipeline.joblib")
    again = joblib.load(tmp_path / "pipeline.joblib")
    assert list(again.predict(TEXTS)) == ["sun", "wind"]
    assert pickle.loads(pickle.dumps(pipeline)).predict(TEXTS[1:]) == ["wind"]


def test_column_of_a_table(predictor: Predictor[Any]) -> None:
    table = pd.DataFrame({"year": [2020, 2021], "abstract": TEXTS})
    vectorizer = make_pipeline(KeyphraseTransformer(predictor), CountVectorizer(analyzer=list))
    columns = make_column_transformer((vectorizer, "abstract"), remainder="passthrough")
    assert columns.fit_transform(table).shape == (2, 1 + len(columns.transformers_[0][1][1].vocabulary_))


def test_text_that_is_rejected_has_no_keyphrases(predictor: Predictor[Any], phrases: list[list[str]]) -> None:
    with pytest.warns(UserWarning, match="no keyphrases for document 2: no text: the value is null"):
        found = KeyphraseTransformer(predictor, lowercase=False).transform([TEXTS[0], None, TEXTS[1]])
    assert found == [phrases[0], [], phrases[1]]


def test_wrong_calls(predictor: Predictor[Any]) -> None:
    with pytest.raises(TypeError, match="X must be a collection of texts"):
        KeyphraseTransformer(predictor).transform(TEXTS[0])
    with pytest.raises(UserError, match="is not a predictor"):
        KeyphraseTransformer("samrnk").fit(TEXTS)


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_estimator_tags_renamed,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_mixin_order,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_set_params,
        estimator_checks.check_valid_tag_types,
    ],
    ids=lambda check: check.__name__,
)
def test_checks_of_scikit_learn(check: Callable[[str, Any], None]) -> None:
    """Those without data: scikit-learn has no others for estimators of texts, such as its own vectorizers."""
    check("KeyphraseTransformer", KeyphraseTransformer())
