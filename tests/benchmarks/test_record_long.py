"""The recorder of long runs: its plan, its faults, its probes, its files, one real recording."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import record_long
from benchmarks.longruns import data as long_data
from benchmarks.longruns import store, tasks
from benchmarks.longruns.kinds import PLANTED, kinds_plan, planted
from benchmarks.longruns.plan import CELLS, plan
from benchmarks.longruns.setting import LongSetting
from benchmarks.longruns.summary import is_good
from benchmarks.longruns.train import planned_schedule, shortened
from benchmarks.probe_kinds import auc, probe_record
from benchmarks.recording import data
from benchmarks.recording.shards import write_shard
from hf_ftrisk.record import RunRecord
from hf_ftrisk.reference.pairs import pairs_of
from hf_ftrisk.reference.table import RecordedRun
from hf_ftrisk.signals.ordering import ORDERING

ROOT = Path(__file__).parent.parent.parent


def recorded(run_id: str, accuracy: float = 0.75, **probe: object) -> RecordedRun:
    record = RunRecord(
        max_steps=2,
        eval_step=np.array([0, 2]),
        evals={"eval_accuracy": np.array([0.5, accuracy])},
        baselines={"eval_accuracy": 0.5},
        settings={"kind": "single"},
    )
    return RecordedRun(record, run_id, "a", 1.0, "cpu", **probe)  # type: ignore[arg-type]


# --- plan ---------------------------------------------------------------------------------------


def test_run_ids_are_unique_and_the_same_in_another_process():
    ids = [setting.run_id for setting in plan()]
    assert len(set(ids)) == len(ids)
    code = "from benchmarks.longruns.plan import plan; print(plan()[5].run_id)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ids[5]


def test_the_recipes_name_decides_nothing():
    assert LongSetting("snips", recipe="sound").run_id == LongSetting("snips", recipe="x").run_id


def test_the_plan_is_as_large_as_what_it_is_for():
    planned = plan()
    assert len(planned) >= 240
    assert min(setting.max_steps for setting in planned if setting.model != "smollm2-30") >= 500
    assert sum(setting.max_steps >= 1500 for setting in planned) >= 60
    assert len({setting.dataset for setting in planned}) >= 14
    assert {setting.kind for setting in planned} == set(tasks._BUILDERS)
    repeats = Counter(setting.setting_id for setting in planned)
    assert sum(n >= 8 for n in repeats.values()) >= len(CELLS) >= 20


def test_the_plan_of_other_tasks_has_each_on_several_data_sets_and_none_of_the_long_runs():
    planned = kinds_plan()
    assert len({setting.run_id for setting in planned} - {s.run_id for s in plan()}) == len(planned)
    sets = {kind: {s.dataset for s in planned if s.kind == kind} for kind in tasks._BUILDERS}
    assert min(len(of_kind) for kind, of_kind in sets.items() if of_kind) >= 3
    assert len([kind for kind, of_kind in sets.items() if of_kind]) == 5
    assert 0.55 <= np.mean([setting.recipe == "sound" for setting in planned]) <= 0.75
    assert {setting.dataset for setting in planned} <= set(data.licenses())


def test_rare_faults_are_planted_once_in_every_task_of_an_encoder_of_other_tasks():
    settings = planted()
    tasks_of = {
        recipe: [(s.dataset, s.kind) for s in settings if s.recipe == recipe] for recipe in PLANTED
    }
    assert all(len(set(of_recipe)) == len(of_recipe) == 14 for of_recipe in tasks_of.values())
    assert kinds_plan()[: len(settings)] == settings
    assert min(s.learning_rate for s in settings if s.recipe == "rate huge") >= 2e-3


def test_two_thirds_of_the_single_settings_are_sound_and_the_first_ones_are_broad():
    first = plan()[:66]
    sound = np.mean([setting.recipe == "sound" for setting in first])
    assert 0.6 <= sound <= 0.75
    assert len({setting.dataset for setting in first}) >= 22
    assert len({setting.recipe for setting in first}) >= 12


def test_every_planned_data_set_has_a_license():
    assert {setting.dataset for setting in plan()} <= set(data.licenses())


def test_a_setting_whose_last_step_is_not_evaluated_is_refused():
    with pytest.raises(ValueError, match="no multiple of evaluations"):
        LongSetting("snips", max_steps=510, evaluations=20)


# --- data and faults ----------------------------------------------------------------------------


@pytest.fixture
def text_data(tmp_path, monkeypatch):
    """A folder of the benchmark's form: one tiny data set that can be learned, and E2E rows."""
    texts = [f"{'good' if i % 2 else 'bad'} film number {i}" for i in range(64)]
    labels = [i % 2 for i in range(64)]
    meaning = "name[The Mill], food[English], area[city centre]"
    response = "The Mill serves English food in the city centre."
    short, said = "name[The Mill], food[Thai]", "Thai at The Mill."
    for part, rows in (("train", slice(0, 40)), ("test", slice(40, 64))):
        for name, table in (
            ("snips", {"text": texts[rows], "label": labels[rows]}),
            ("e2e_nlg", {"prompt": [meaning, short] * 4, "response": [response, said] * 4}),
        ):
            folder = tmp_path / "text" / name
            folder.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table(table), folder / f"{part}.parquet")
    monkeypatch.setenv("HF_FTRISK_BENCH_DATA", str(tmp_path))
    caches = (data.classification, data.generation, long_data.examples)
    for cache in caches:
        cache.cache_clear()
    yield tmp_path
    for cache in caches:
        cache.cache_clear()


TINY = LongSetting(
    "snips",
    model="minilm-1",
    learning_rate=1e-3,
    train_rows=40,
    max_steps=20,
    evaluations=4,
    eval_rows=24,
    max_tokens=8,
)


def test_shuffled_labels_stay_the_same_labels_in_another_order(text_data):
    plain, test, _ = long_data.split(TINY)
    shuffled, shuffled_test, _ = long_data.split(replace(TINY, fault="shuffled"))
    assert [row.text for row in shuffled] == [row.text for row in plain]
    assert Counter(row.target for row in shuffled) == Counter(row.target for row in plain)
    assert [row.target for row in shuffled] != [row.target for row in plain]
    assert shuffled_test == test


def test_a_swapped_column_is_swapped_in_the_evaluation_as_well(text_data):
    _, test, _ = long_data.split(TINY)
    _, swapped, _ = long_data.split(replace(TINY, fault="swapped_column"))
    assert [row.text for row in swapped] == [row.text for row in test]
    assert [row.target for row in swapped] != [row.target for row in test]


def test_a_wrong_mapping_moves_every_training_label(text_data):
    plain, _, n_labels = long_data.split(TINY)
    moved, _, _ = long_data.split(replace(TINY, fault="mapping"))
    assert [row.target for row in moved] == [(row.target + 1) % n_labels for row in plain]


def test_words_are_tagged_with_the_slot_they_stand_for(text_data):
    row = long_data.examples("e2e_nlg", "tokens").train[0]
    words = dict(zip(row.text.split(), row.target, strict=True))
    slots = {word: long_data.SLOTS[tag - 1] for word, tag in words.items() if tag}
    assert slots == {
        "The": "name",
        "Mill": "name",
        "English": "food",
        "city": "area",
        "centre": "area",
    }


def test_the_models_small_vocabulary_gives_the_same_outputs(text_data):
    import torch

    from benchmarks.longruns.models import minilm

    train, _, n_labels = long_data.split(TINY)
    rows = tasks._encoded(train[:4], TINY)
    (compacted,), vocabulary = tasks.compact([rows], TINY)
    whole = minilm("minilm-2", "full", torch.arange(30522), 0, num_labels=n_labels).eval()
    small = minilm("minilm-2", "full", vocabulary, 0, num_labels=n_labels).eval()
    small.classifier.load_state_dict(whole.classifier.state_dict())
    with torch.no_grad():
        for row, short in zip(rows, compacted, strict=True):
            expected = whole(input_ids=torch.tensor([row["input_ids"]])).logits
            logits = small(input_ids=torch.tensor([short["input_ids"]])).logits
            torch.testing.assert_close(logits, expected)


def test_a_fresh_layer_and_all_after_it_start_anew():
    import torch

    from benchmarks.longruns.models import minilm

    kept, fresh = (
        minilm(name, "full", torch.arange(200), 0, num_labels=2).bert.encoder.layer
        for name in ("minilm-3", "minilm-3-fresh-2")
    )
    same = [
        torch.equal(a.output.dense.weight, b.output.dense.weight)
        for a, b in zip(kept, fresh, strict=True)
    ]
    assert same == [True, False, False]


def test_with_a_frozen_body_only_the_head_trains():
    import torch

    from benchmarks.longruns.models import minilm

    for method, expected in (
        ("frozen_body", ["classifier.weight", "classifier.bias"]),
        ("bias_only", ["classifier.bias"]),
    ):
        model = minilm("minilm-1", method, torch.arange(200), 0, num_labels=2)
        assert [n for n, p in model.named_parameters() if p.requires_grad] == expected


# --- numbers ------------------------------------------------------------------------------------


def test_shortened_values_keep_a_ten_thousandth():
    for value in (1.2345678, 3.3e-7, 812.2, 0.0):
        assert shortened(value) == pytest.approx(value, rel=1.3e-4)
    assert np.isnan(shortened(float("nan")))
    assert shortened(float("inf")) == float("inf")


def test_a_squeezed_schedule_warms_up_and_decays_within_its_steps():
    setting = LongSetting("snips", warmup=0.1, learning_rate=1e-4)
    rates = planned_schedule(setting, 50)
    assert int(np.argmax(rates)) == 5
    assert rates[0] == 0
    assert rates[-1] < 0.05 * rates.max()


def test_auc_counts_ties_half_and_survives_infinities():
    good = np.array([True, True, False, False])
    assert auc(np.array([2.0, 1.0, 1.0, -np.inf]), good) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert np.isnan(auc(np.array([1.0, 2.0]), np.array([True, True])))


def test_a_run_hardly_above_its_baseline_is_not_good():
    assert is_good(recorded("a", 0.54).record)
    assert not is_good(recorded("a", 0.52).record)
    assert not is_good(recorded("a", float("nan")).record)


# --- files --------------------------------------------------------------------------------------


def test_packing_adds_a_file_with_what_is_new_and_leaves_the_old_one(tmp_path):
    shards, packed = tmp_path / "shards", tmp_path / "packed"
    write_shard([recorded("a"), recorded("a", probe="jump", depth=0.1)], shards)
    assert store.pack(shards, packed) == 1
    first = store.packed_files(packed)[0].read_bytes()
    write_shard([recorded("b")], shards)
    assert store.pack(shards, packed) == 1
    assert store.pack(shards, packed) == 0
    assert store.packed_files(packed)[0].read_bytes() == first
    runs = store.read_packed(["b", "a"], packed)
    assert [(run.run_id, run.probe) for run in runs] == [("b", None), ("a", None), ("a", "jump")]


def test_packing_anew_takes_the_shard_over_the_packed_run(tmp_path):
    shards, packed = tmp_path / "shards", tmp_path / "packed"
    for name in ("a", "b"):
        write_shard([recorded(name)], shards)
        store.pack(shards, packed)
    write_shard([recorded("a", 0.25)], shards)
    (shards / "b.parquet").unlink()
    assert store.pack(shards, packed, anew=True) == 2
    assert len(store.packed_files(packed)) == 1
    ends = [run.record.evals["eval_accuracy"][-1] for run in store.read_packed(["a", "b"], packed)]
    assert ends == [0.25, 0.75]


def test_what_is_packed_after_packing_anew_overwrites_nothing(tmp_path):
    shards, packed = tmp_path / "shards", tmp_path / "packed"
    for name in ("a", "b"):
        write_shard([recorded(name)], shards)
        store.pack(shards, packed)
    store.pack(shards, packed, anew=True)
    write_shard([recorded("c")], shards)
    store.pack(shards, packed)
    assert store.packed_ids(packed) == {"a", "b", "c"}


def test_a_package_too_large_is_refused_and_leaves_the_old_one(tmp_path, monkeypatch):
    file = tmp_path / "long.parquet"
    store.package([recorded("a")], file)
    before = file.read_bytes()
    monkeypatch.setattr(store, "SIZE_LIMIT", 10)
    with pytest.raises(ValueError, match="limit 10"):
        store.package([recorded("b")], file)
    assert file.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["long.parquet"]


# --- recorder -----------------------------------------------------------------------------------


@pytest.fixture
def two_planned(monkeypatch, tmp_path):
    """A plan of two runs, an empty repository, and a recorder that trains nothing."""
    settings = (LongSetting("snips", seed=0), LongSetting("snips", seed=1))
    monkeypatch.setattr(record_long, "plan", lambda: settings)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "benchmarks.longruns.train.record_run", lambda setting, probes: [recorded(setting.run_id)]
    )
    return settings


def test_recording_goes_on_where_shards_and_packed_files_stop(two_planned, tmp_path):
    first, second = (setting.run_id for setting in two_planned)
    shards = tmp_path / "shards"
    write_shard([recorded(first)], shards)
    store.pack(shards)
    (shards / f"{first}.parquet").unlink()
    assert record_long.record(shards, (0, 1), None) == 1
    assert [file.stem for file in shards.glob("*.parquet")] == [second]
    assert record_long.record(shards, (0, 1), None) == 0


def test_workers_share_the_plan(two_planned, tmp_path):
    second = two_planned[1].run_id
    assert record_long.record(tmp_path / "shards", (1, 2), None) == 1
    assert [file.stem for file in (tmp_path / "shards").glob("*.parquet")] == [second]


def test_signals_are_measured_of_the_runs_that_lack_the_one_named(
    two_planned, tmp_path, monkeypatch
):
    first, second = (setting.run_id for setting in two_planned)
    shards = tmp_path / "shards"
    probe = recorded(first, probe="jump", depth=0.1)
    write_shard([recorded(first), probe], shards)
    has = recorded(second)
    write_shard([replace(has, record=replace(has.record, static={"gain": 1.0}))], shards)
    monkeypatch.setattr(
        "benchmarks.longruns.train.untrained_signals", lambda setting: {"gain": 2.0}
    )
    assert record_long.signals(shards, (0, 1), "gain") == 1
    runs = store.read_all(shards)
    assert [run.record.static.get("gain") for run in runs[first]] == [2.0, None]
    assert runs[second][0].record.static["gain"] == 1.0


# --- real recordings ----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_is_recorded_with_probes_that_start_where_it_starts(text_data):
    from benchmarks.longruns.train import record_run

    runs = record_run(TINY)
    again = record_run(TINY)
    assert [r.record.to_dict() for r in runs] == [r.record.to_dict() for r in again]
    (pair,) = pairs_of(runs)
    run = pair.run
    assert run.train_step.tolist() == list(range(1, 21))
    assert run.eval_step.tolist() == [0, 5, 10, 15, 20]
    assert run.static["zero_shot_loss"] > 0
    np.testing.assert_allclose(run.schedule, run.learning_rate)
    assert set(pair.probes) == {("jump", 0.1), *(("squeezed", d) for d in (0.02, 0.05, 0.1))}
    for probe in pair.probes.values():
        assert {name: probe.evals[name][0] for name in run.evals} == {
            name: values[0] for name, values in run.evals.items()
        }
        # What a pre-flight's own evaluations measure besides, which the run's log lacks.
        assert set(probe.evals) - set(run.evals) == {ORDERING}
        assert 0.0 <= probe.evals[ORDERING][-1] <= 1.0
        # The same rows and weights; dropout draws differ.
        assert probe.train_loss[0] == pytest.approx(run.train_loss[0], abs=0.05)
        np.testing.assert_allclose(probe.schedule, probe.learning_rate)
        assert probe.eval_step[-1] == probe.max_steps
    jump = pair.probes["jump", 0.1]
    assert jump.max_steps == 2
    assert jump.learning_rate[0] == TINY.learning_rate
    assert probe_record(pair, "jump", 0.05).last_step == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tokens", "multilabel", "regression", "seq2seq"])
def test_other_kinds_of_task_train_and_know_their_trivial_values(text_data, kind):
    from benchmarks.longruns.summary import GOALS
    from benchmarks.longruns.train import record_run

    model = "t5-scratch" if kind == "seq2seq" else "minilm-1"
    setting = replace(
        TINY, dataset="e2e_nlg", kind=kind, model=model, train_rows=8, max_tokens=24, eval_rows=8
    )
    record = record_run(setting)[0].record
    assert np.isfinite(record.evals[GOALS[kind]]).all()
    assert GOALS[kind] in record.baselines
    assert record.evals["eval_loss"][-1] < record.evals["eval_loss"][0]
