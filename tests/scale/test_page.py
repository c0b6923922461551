"""docs/scale.md is what the code prints, and the inputs are what the program does."""

import re
from pathlib import Path

import pytest
import yaml
from botocore.retries.standard import ExponentialBackoff

from bench.scale import charts, facts, page, regulars
from domain import limits
from handlers import aws
from storage import table

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sorted(page.BLOCKS))
def test_the_page_says_what_the_code_prints(name: str) -> None:
    text = page.PAGE.read_text()
    assert f"<!-- {name} -->\n{page.BLOCKS[name]()}<!-- /{name} -->" in text, "make scale writes it anew"


def test_every_block_is_on_the_page_once_and_no_other() -> None:
    assert sorted(page.names(page.PAGE.read_text())) == sorted(page.BLOCKS)


def test_a_block_that_nobody_knows_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        page.render("<!-- unknown -->\n<!-- /unknown -->")


def test_what_stands_outside_the_blocks_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "BLOCKS", {"a": lambda: "new\n"})
    assert (
        page.render("before\n<!-- a -->\nold\n<!-- /a -->\nafter\n") == "before\n<!-- a -->\nnew\n<!-- /a -->\nafter\n"
    )


def test_the_page_shows_every_picture_and_each_is_there_with_its_title() -> None:
    shown = re.findall(r"\]\(charts/([a-z]+)\.svg\)", page.PAGE.read_text())
    assert sorted(shown) == sorted(charts.CHARTS)
    for name in shown:
        assert "<svg" in (page.PAGE.parent / "charts" / f"{name}.svg").read_text()[:600]
    assert sorted(path.stem for path in (page.PAGE.parent / "charts").iterdir()) == sorted(charts.CHARTS)


def test_every_input_has_a_unit_a_source_and_says_how_sure_it_is() -> None:
    for fact in (*facts.stated(), *regulars.stated()):
        assert fact.unit
        assert fact.what
        assert fact.source
        assert fact.kind in {"documented", "reported", "measured", "decided", "assumed"}


def test_bounds_are_the_program_s() -> None:
    assert float(regulars.DELIVERIES_MAX) == limits.DELIVERIES_MAX
    assert float(regulars.CHUNK_MEMBERS) == limits.CHUNK_MEMBERS_MAX
    assert float(regulars.EVENT_CALLS_AT_ONCE) == limits.EVENT_CALLS_AT_ONCE_MAX
    assert float(regulars.EVENTS_A_CALL) == limits.EVENTS_A_CALL_MAX
    assert float(facts.QUEUE_CALL_MESSAGES) == limits.MESSAGES_A_CALL_MAX
    assert float(regulars.SUBMISSION_PURCHASES) == limits.SUBMISSION_PURCHASES_MAX
    assert float(regulars.QUEUE_CALLS_AT_ONCE) == limits.MESSAGE_CALLS_AT_ONCE_MAX


def test_retries_are_those_of_the_client() -> None:
    found = re.search(r'"total_max_attempts": (\d+)', Path(aws.__file__).read_text())
    assert found is not None
    assert int(found[1]) == float(regulars.SDK_ATTEMPTS)
    assert ExponentialBackoff._DEFAULT_BACKOFF_CONFIG["throttling_base_scale"] == float(regulars.SDK_PAUSE_S)
    assert ExponentialBackoff._BASE == 2
    assert regulars.SDK_PAUSE_MAX_S == ExponentialBackoff._MAX_BACKOFF
    lost = table._PAUSE_FIRST_S, table._PAUSE_GROWTH, table._PAUSE_MAX_S
    stated = regulars.RACE_PAUSE_S, regulars.RACE_PAUSE_GROWTH, regulars.RACE_PAUSE_MAX_S
    assert lost == tuple(map(float, stated))


class _Loader(yaml.SafeLoader):
    """Reads a template: what its tags would resolve to is not asked."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


def test_concurrency_batches_and_sizes_are_the_template_s() -> None:
    template = yaml.load((ROOT / "template.yaml").read_text(), _Loader)
    parameters, resources = template["Parameters"], template["Resources"]
    assert parameters["CampaignConcurrency"]["Default"] == float(regulars.CAMPAIGN_CONCURRENCY)
    assert parameters["IngestConcurrency"]["Default"] == float(regulars.INGEST_CONCURRENCY)
    assert parameters["IngestConcurrency"]["MaxValue"] == float(facts.MAPPING_CONCURRENCY_MAX)
    assert parameters["MemoryMegabytes"]["Default"] == float(regulars.FUNCTION_MB)
    ingest = resources["IngestFunction"]["Properties"]
    assert ingest["MemorySize"] == float(regulars.WORKER_MB)
    (source,) = (event["Properties"] for event in ingest["Events"].values() if event["Type"] == "SQS")
    assert source["BatchSize"] == float(regulars.INGEST_BATCH)
    assert source["MaximumBatchingWindowInSeconds"] == float(facts.BATCH_WINDOW_S)
    assert resources["IngestQueue"]["Properties"]["VisibilityTimeout"] == float(regulars.VISIBILITY_S)
    stream = resources["RelayFunction"]["Properties"]["Events"]["Stream"]["Properties"]
    assert stream["BatchSize"] == float(regulars.RELAY_BATCH)
