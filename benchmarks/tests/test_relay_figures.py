"""The relay benchmark's own arithmetic, and what its table says."""

import pytest

from benchmarks.relay.figures import Part, markdown, median, paired, percentile, rate, spread
from benchmarks.relay.ground import _bucket


def test_a_percentile_is_a_value_that_was_measured_and_that_enough_values_do_not_exceed() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1.0, 0.001)] == [50, 99, 100, 1]
    assert percentile([7.0], 0.99) == 7


def test_a_ratio_is_the_median_of_ratios_of_neighbours_not_the_ratio_of_medians() -> None:
    # The machine was busy in the second round: both were slow, and the ratio still is 2.
    assert paired([200, 20, 190], [100, 10, 95]) == 2
    with pytest.raises(ValueError, match="shorter"):
        paired([1.0, 2.0], [1.0])


def test_nothing_measured_is_no_figure() -> None:
    for figure in (median, lambda values: percentile(values, 0.5)):
        with pytest.raises(ValueError, match="nothing"):
            figure([])


def test_rates_have_three_digits() -> None:
    assert [rate(value) for value in (12_345.6, 987.65, 61.72)] == ["12,300 /s", "988 /s", "61.7 /s"]
    assert spread([10.0, 12_345.0, 987.0]) == "987 /s (10 to 12,300)"


def test_the_table_shows_goals_and_a_quick_run_checks_only_untimed_ones() -> None:
    part = Part("a", "Speed", "On one machine.")
    part.add("rate | of a", "5 /s")
    part.add("lost", "0", "0", True, hard=True)
    assert part.met
    assert part.sound
    part.add("ratio", "0.5 ×", "≥ 1 ×", False)
    assert not part.met
    assert part.sound
    assert markdown(part).splitlines()[-3:] == [
        "| rate \\| of a | 5 /s |  |  |",
        "| lost | 0 | 0 | met |",
        "| ratio | 0.5 × | ≥ 1 × | **missed** |",
    ]
    part.add("lost", "1", "0", False, hard=True)
    assert not part.sound


def test_events_wait_in_the_buckets_that_the_product_would_choose() -> None:
    from uuid import uuid4

    from erp.outbox.flush import bucket_of

    streams = [uuid4() for _ in range(50)]
    assert [_bucket(stream) for stream in streams] == [bucket_of("lot", stream) for stream in streams]
