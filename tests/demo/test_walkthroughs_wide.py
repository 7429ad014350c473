"""The README's walk-throughs where the side panel stands beside the picture."""

from __future__ import annotations

import pytest

from tests.demo.test_walkthroughs import there_and_back


@pytest.mark.timeout(500)
async def test_walk_throughs_in_one_session_at_140x40() -> None:
    await there_and_back((140, 40))
