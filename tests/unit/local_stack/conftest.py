"""Folders of private stacks that leave nothing behind, in them or (for root) under /var/lib."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.installation import Installation
from deploy.local.services import clean


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    place = Installation(tmp_path / "stack")
    yield place
    clean(place)
