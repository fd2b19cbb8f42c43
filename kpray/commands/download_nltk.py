"""`kpray download-nltk`: the data of NLTK's tagger for English."""

from __future__ import annotations

from collections.abc import Sequence

from kpray.errors import UserError
from kpray.settings import Settings, parse_settings
from kpray.text.perceptron import NLTK_TAGGER

DESCRIPTION = "Download the data of NLTK's part-of-speech tagger for English."


class DownloadCommand(Settings):
    """Settings of `kpray download-nltk`, which has none."""


def main(arguments: Sequence[str], prog: str) -> int:
    """Run the command."""
    parse_settings(DownloadCommand, arguments, prog=prog, description=DESCRIPTION, examples=("",))
    import nltk

    if not nltk.download(NLTK_TAGGER):
        raise UserError("the download failed", fix=f"download {NLTK_TAGGER} elsewhere and set NLTK_DATA to its folder")
    return 0
