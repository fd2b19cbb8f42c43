"""`kpray convert`: a published model as a folder that kpray loads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from kpray.printing import print_result
from kpray.settings import Settings, parse_settings
from kpray.storage import local_folder

DESCRIPTION = (
    "Convert UniLM, BERT or mBART-25 as it was published (pytorch_model.bin, config.json, and vocab.txt or "
    "sentencepiece.bpe.model) into a model that can be trained. Code in the file is not run."
)
EXAMPLES = ("unilm1-base-cased/ --output unilm/ --case cased", "mbart-large-cc25/ --output mbart/")


class ConvertCommand(Settings):
    """Settings of `kpray convert`."""

    folder: Annotated[tuple[str, ...], Field(min_length=1, max_length=1)]
    """Folder of the published model."""
    output: Path
    """New folder for model.safetensors, config.json and the tokenizer."""
    case: Literal["cased", "uncased"] | None = None
    """The tokenizer of UniLM or BERT keeps capital letters (`cased`), or lower-cases all text (`uncased`). If null, it
    does what `do_lower_case` in the folder's tokenizer_config.json says."""


def main(arguments: Sequence[str], prog: str) -> int:
    """Run the command."""
    settings = parse_settings(
        ConvertCommand, arguments, prog=prog, description=DESCRIPTION, positional="folder", examples=EXAMPLES
    )
    from kpray.conversion import convert_model

    about = convert_model(Path(local_folder(settings.folder[0])), settings.output, settings.case)
    print_result(f"{settings.output}: {about}")
    return 0
