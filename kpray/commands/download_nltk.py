"""Fetch the data of NLTK's tagger for English: `kpray download-nltk`."""

from __future__ import annotations

from collections.abc import Sequence

from kpray.errors import UserError
from kpray.settings import Settings, parse_settings
from kpray.text.tagging import NLTK_TAGGER


class DownloadCommand(Settings):
    """What the command takes: nothing."""


def main(arguments: Sequence[str], prog: str) -> int:
    """Run the command."""
    parse_settings(DownloadCommand, arguments, prog=prog, description=str(__doc__))
    import nltk

    if not nltk.download(NLTK_TAGGER):
        raise UserError("the download failed", fix=f"fetch {NLTK_TAGGER} elsewhere and set NLTK_DATA to its folder")
    return 0
