"""Which rows are held out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from schuss.data.holdout import SCORE, SELECT, TRAIN, Holdout, parse_holdout, uses_of_rows
from schuss.errors import OptionError

ROWS = 20_000
TABLE = pa.record_batch({"group": pa.array([f"g{i // 20 % 500}" if i % 7 else None for i in range(ROWS)])})


def uses(holdout: Holdout, size: int = ROWS, *, part: int = 0, seed: int = 0) -> np.ndarray:
    """The uses of all rows, read in batches of so many."""
    starts = range(0, ROWS, size)
    return np.concatenate([uses_of_rows(holdout, TABLE.slice(at, size), part, at, at, ROWS, seed) for at in starts])


@pytest.mark.parametrize(
    ("text", "holdout"),
    [
        ("0.1", Holdout("share", 0.1)), ("1e-3", Holdout("share", 0.001)), ("last:0.25", Holdout("last", 0.25)),
        ("group:shop", Holdout("group", 0.1, column="shop")), ("group:a:b", Holdout("group", 0.1, column="a:b")),
        ("none", Holdout("none")), ("valid.csv", Holdout("file", file="valid.csv")),
    ],
)  # fmt: skip
def test_parse(text: str, holdout: Holdout) -> None:
    assert parse_holdout(text) == holdout


@pytest.mark.parametrize("text", ["0", "1", "-0.1", "1.5", "last:0", "last:1", "nan", "last:nan", "inf"])
def test_shares_outside_are_refused(text: str) -> None:
    with pytest.raises(OptionError, match="between 0 and 1"):
        parse_holdout(text)


@pytest.mark.parametrize("holdout", [Holdout("share", 0.1), Holdout("last", 0.1), Holdout("group", 0.1, "group")])
@pytest.mark.parametrize("size", [1000, 777, 19_999])
def test_the_batches_do_not_matter(holdout: Holdout, size: int) -> None:
    np.testing.assert_array_equal(uses(holdout, size), uses(holdout))


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_a_share_is_held_out_half_for_each_purpose(share: float) -> None:
    found = np.bincount(uses(Holdout("share", share)), minlength=3) / ROWS
    wanted = np.array([1 - share, share / 2, share / 2])
    np.testing.assert_allclose(found, wanted, atol=4 * np.sqrt(wanted * (1 - wanted) / ROWS).max())


def test_seed_and_part_change_which() -> None:
    first = uses(Holdout("share", 0.5)) == TRAIN
    for other in (uses(Holdout("share", 0.5), seed=1), uses(Holdout("share", 0.5), part=1)):
        assert np.mean(first == (other == TRAIN)) == pytest.approx(0.5, abs=0.02)


def test_a_larger_share_holds_out_the_same_rows_and_more() -> None:
    small, large = uses(Holdout("share", 0.1)), uses(Holdout("share", 0.3))
    assert (large[small != TRAIN] != TRAIN).all()


@pytest.mark.parametrize("share", [0.1, 0.25, 1e-9])
def test_the_last_rows(share: float) -> None:
    found = uses(Holdout("last", share))
    count = max(round(ROWS * share), 2)
    assert (found[:-count] == TRAIN).all()
    assert abs(int((found[-count:] == SELECT).sum()) - int((found[-count:] == SCORE).sum())) <= 1
    assert (found[-count:] != TRAIN).all()


def test_groups_stay_together() -> None:
    found = uses(Holdout("group", 0.1, "group"))
    groups = TABLE.column("group").fill_null("none").to_numpy(zero_copy_only=False)
    per_group = {group: set(found[groups == group].tolist()) for group in set(groups)}
    assert all(len(of) == 1 for of in per_group.values())
    held = sum(of != {int(TRAIN)} for of in per_group.values())
    assert 25 <= held <= 80, "a tenth of 501 groups"
    numbers = pa.record_batch({"group": pa.array([int(i // 20 % 500) for i in range(ROWS)])})
    by_number = uses_of_rows(Holdout("group", 0.1, "group"), numbers, 3, 5, 99, None, 0)
    assert all(len(set(by_number[start : start + 20])) == 1 for start in range(0, ROWS, 20))


def test_none() -> None:
    assert (uses(Holdout("none")) == TRAIN).all()
