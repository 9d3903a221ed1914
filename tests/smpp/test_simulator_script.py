"""Scripts: what may stand in them, what is said about a wrong one, and what the distributions draw."""

import re
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpp_daemon.protocol.status import RINVDSTADR
from smpp_daemon.simulator import Script, Simulator, SimulatorSettings, read_script
from smpp_daemon.simulator.behaviour import CompiledScript
from smpp_daemon.simulator.chances import Chances
from smpp_daemon.simulator.identifiers import IdFormat
from smpp_daemon.simulator.main import EPILOG
from smpp_daemon.simulator.receipt_text import VARIANTS
from smpp_daemon.simulator.script import (
    Binds,
    Drop,
    Garbage,
    HalfOpen,
    Malformed,
    Receipts,
    Rule,
    Throttle,
    Traffic,
    Unbinding,
)
from smpp_daemon.simulator.spread import Spread, compile_latency
from tests.smpp.simulated_esme import Esme

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "simulator.md"

STRUCTS = (
    Script,
    Rule,
    Throttle,
    Receipts,
    Traffic,
    Binds,
    Drop,
    Unbinding,
    HalfOpen,
    Garbage,
    Malformed,
    IdFormat,
    Spread,
)


def documented() -> str:
    """The example script of the documentation."""
    found = re.search(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.S)
    assert found is not None
    return found.group(1)


async def test_the_documented_script_can_be_followed(tmp_path: Path) -> None:
    path = tmp_path / "script.yaml"
    path.write_text(documented())
    script = read_script(path)
    assert CompiledScript(script).behaviour("251911000101").status == RINVDSTADR
    async with Simulator(SimulatorSettings(script=script)) as simulator:
        esme = await Esme.connect(simulator.port)
        await esme.until(lambda: bool(esme.receipts))
        assert esme.receipts[0].destination_addr == "8080"
        await esme.close()


def test_the_documented_script_shows_every_key() -> None:
    text = documented()
    for struct in STRUCTS:
        for field in msgspec.structs.fields(struct):
            assert re.search(rf"\b{field.name}:", text), f"{struct.__name__}.{field.name}"
    assert all(f"`{name}`" in DOCUMENT.read_text() for name in VARIANTS)


def test_the_script_in_the_help_can_be_followed(tmp_path: Path) -> None:
    path = tmp_path / "script.yaml"
    lines = EPILOG.splitlines()
    path.write_text("\n".join(line for line in lines if line.startswith("  ") and "smsc-sim" not in line))
    assert len(read_script(path).rules) == 4


def test_an_empty_file_is_a_script(tmp_path: Path) -> None:
    path = tmp_path / "script.yaml"
    path.write_text("# nothing\n")
    assert read_script(path) == Script()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("receipts: {duplicat: 0.1}", r"duplicat.*\$\.receipts"),
        ("receipts: {duplicate: 2}", r"\$\.receipts\.duplicate"),
        ("receipts: {text: appendix_c}", r"appendix_c.*\$\.receipts"),
        ("receipts: {text: '{identifier}'}", r"identifier.*\$\.receipts"),
        ("receipts: {states: {DELIVERED: 1}}", r"\$\.receipts\.states"),
        ("receipts: {network_error_code: xyz}", r"network_error_code.*\$\.receipts"),
        ("response_delay: -1", r"\$\.response_delay"),
        ("response_delay: {min: 1}", r"min and max.*\$\.response_delay"),
        ("response_delay: {min: 2, max: 1}", r"min 2.*\$\.response_delay"),
        ("response_delay: {mean: 1, deviation: -1}", r"deviation -1.*\$\.response_delay"),
        ("response_delay: {percentiles: {50: 2, 99: 1}}", r"percentiles.*\$\.response_delay"),
        ("response_delay: {percentiles: {101: 2}}", r"percentiles.*\$\.response_delay"),
        ("rules: [{suffix: '1', status: MAYBE}]", r"status.*MAYBE.*\$\.rules\[0\]"),
        ("rules: [{suffix: '1', answer: maybe}]", r"maybe.*\$\.rules\[0\]\.answer"),
        ("statuses: {NOPE: 0.1}", r"statuses.*NOPE"),
        ("statuses: {RSYSERR: 0.6, RX_T_APPN: 0.6}", r"statuses.*add up to 1\.2"),
        ("answers: {never: 1.5}", r"\$\.answers"),
        ("throttle: {burst: 3}", r"rate.*\$\.throttle"),
        ("throttle: {rate: 0}", r"\$\.throttle\.rate"),
        ("drop: {}", r"every.*\$\.drop"),
        ("garbage: {after: 3, send: smtp}", r"smtp.*\$\.garbage"),
        ("ids: {base: octal}", r"octal.*\$\.ids\.base"),
        ("ids: {width: 65}", r"width.*\$\.ids"),
        ("binds: {beyond: NOPE}", r"beyond.*\$\.binds"),
        ("traffic: {rate: 1, texts: []}", r"\$\.traffic\.texts"),
        ("malformed: {stray_nul: 0.6, unknown_tlv: 0.6}", r"malformed.*add up"),
    ],
)
def test_a_wrong_script_is_refused_and_the_key_named(text: str, key: str, tmp_path: Path) -> None:
    path = tmp_path / "script.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"script\.yaml: .*" + key):
        read_script(path)


def test_only_what_concerns_messages_takes_the_slow_path() -> None:
    assert CompiledScript(Script()).plain
    beside = Script(
        seed=1,
        drop=Drop(every=3),
        binds=Binds(ghost=3),
        traffic=Traffic(1),
        receipts=Receipts(form="text", payload=True),
    )
    assert CompiledScript(beside).plain
    for script in (Script(queue_full=0.1), Script(receipts=Receipts(duplicate=0.1)), Script(rules=[Rule("1")])):
        assert not CompiledScript(script).plain


@given(st.floats(0, 10), st.floats(0, 10), st.integers())
def test_uniform_draws_stay_between_their_ends(low: float, width: float, seed: int) -> None:
    draw = compile_latency(Spread(min=low, max=low + width))
    assert low <= draw(Random(seed)) <= low + width


@given(st.dictionaries(st.floats(0, 100), st.floats(0, 1000), min_size=1), st.integers())
def test_percentile_draws_stay_within_the_table(table: dict[float, float], seed: int) -> None:
    points = dict(zip(sorted(table), sorted(table.values()), strict=True))
    draw = compile_latency(Spread(percentiles=points))
    random = Random(seed)
    assert all(min(points.values()) <= draw(random) <= max(points.values()) + 1e-6 for _ in range(20))


def test_percentiles_are_kept() -> None:
    draw = compile_latency(Spread(percentiles={0: 0, 50: 1, 100: 3}))
    random = Random(1)
    values = sorted(draw(random) for _ in range(10_001))
    assert values[5000] == pytest.approx(1, abs=0.05)
    assert values[7500] == pytest.approx(2, abs=0.1)


def test_normal_draws_are_never_negative() -> None:
    draw = compile_latency(Spread(mean=0.1, deviation=1))
    random = Random(1)
    values = [draw(random) for _ in range(1000)]
    assert min(values) == 0
    assert max(values) > 1


@given(st.dictionaries(st.integers(), st.floats(0, 0.1), max_size=8), st.integers())
def test_an_outcome_without_probability_never_happens(outcomes: dict[int, float], seed: int) -> None:
    chances = Chances(outcomes, "test")
    random = Random(seed)
    for _ in range(50):
        found = chances.draw(random)
        assert found is None or outcomes[found] > 0


@given(st.integers(0, 2**56), st.integers(0, 2**56))
def test_two_numbers_never_have_the_same_id(one: int, other: int) -> None:
    for ids in (IdFormat(), IdFormat("decimal", width=10), IdFormat("uuid"), IdFormat("uuid", upper=True)):
        assert (ids.write(one) == ids.write(other)) == (one == other)
