"""Where the models are that scripts/get-model brings."""
import os
from pathlib import Path


def find_model(file: str) -> Path:
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "welford/models"
    return Path(os.environ.get("WELFORD_MODELS") or default) / file
