"""Runs as a Hub dataset: push and pull over real HTTP against the local Hub."""

import dataclasses
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_ftrisk import redaction
from hf_ftrisk.errors import CardError, HubError
from hf_ftrisk.history import RunHistory
from hf_ftrisk.history.encoding import EncodedRun, encode
from hf_ftrisk.history.parquet import SCHEMA, read_parquet, to_parquet
from hf_ftrisk.hub_repo.card import metadata
from tests.history.records import full_record, make_record
from tests.local_hub import READER

REPO = "team/runs"


@pytest.fixture
def history(tmp_path):
    return RunHistory(tmp_path / "mine.db").add(full_record(0)).add(make_record(1, task="rte"))


def shards(hub):
    files = hub.repos["dataset", REPO].at("main").files
    return {name: content for name, content in files.items() if name.startswith("data/")}


def pushed_runs(hub):
    return [record for content in shards(hub).values() for record in read_parquet(content).records]


def test_runs_travel_from_one_history_to_another(hub, history, tmp_path):
    hub.make(REPO, kind="dataset")
    pushed = history.push_to_hub(REPO)
    assert (pushed.sent, pushed.added, pushed.known) == (True, 2, 0)
    other = RunHistory(tmp_path / "other.db")
    summary = other.pull(REPO)
    assert (summary.added, summary.known, summary.refused) == (2, 0, ())
    assert {r.task for r in other} == {"sst2", "rte"}
    commit = hub.repos["dataset", REPO].branches["main"]
    assert other.counts() == {
        ("sst2", f"hub:{REPO}@{commit}"): 1,
        ("rte", f"hub:{REPO}@{commit}"): 1,
    }
    by_task = {r.task: r for r in other}
    assert by_task["sst2"].to_dict() == full_record(0).to_dict()
    assert other.pull(REPO).known == 2
    assert len(other) == 2


def test_only_new_runs_are_sent_and_old_shards_stay(hub, history):
    hub.make(REPO, kind="dataset")
    history.push_to_hub(REPO)
    before = shards(hub)
    again = history.push_to_hub(REPO)
    assert (again.sent, again.added, again.known, again.files) == (False, 0, 2, {})
    assert len(hub.sent("commit")) == 1
    history.add(make_record(2))
    third = history.push_to_hub(REPO)
    assert (third.added, third.known) == (1, 2)
    after = shards(hub)
    assert before.items() < after.items()
    assert len(after) == len(before) + 1


def test_pushed_runs_do_not_come_back_as_others(hub, tmp_path):
    """The cleaned copy on the Hub differs from the run at home, and is the same run."""
    hub.make(REPO, kind="dataset")
    private = {"model": "/home/anna/models/secret", "my_key": "x", "batch_size": 8}
    history = RunHistory(tmp_path / "mine.db").add(make_record(0, settings=private))
    history.push_to_hub(REPO)
    summary = history.pull(REPO)
    assert (summary.added, summary.known) == (0, 1)
    assert history.push_to_hub(REPO).added == 0


def test_nothing_private_leaves(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "bigbox.lab")
    monkeypatch.setenv("LOGNAME", "zacharias")
    redaction._own_names.cache_clear()
    hub.make(REPO, kind="dataset")
    settings = {
        "model": f"{tmp_path}/checkpoint-3",
        "dataset": "C:\\Users\\anna\\data.csv",
        "task": "token=hf_secretsecretsecret",
        "output_dir": "/scratch/anna",
        "environment": {"PATH": "/usr/bin"},
    }
    record = make_record(0, settings=settings, task=f"{tmp_path}/rows.csv on BigBox by zacharias")
    RunHistory(tmp_path / "mine.db").add(record).push_to_hub(REPO)
    (sent,) = pushed_runs(hub)
    everything = b"".join(request.body for request in hub.sent()) + str(sent.to_dict()).encode()
    for leak in (
        str(tmp_path),
        "anna",
        "hf_secret",
        "output_dir",
        "environment",
        "igbox",
        "igBox",
        "zacharias",
    ):
        assert leak.encode() not in everything
    assert sent.settings["model"] == "[path]"
    assert "[name] by [name]" in sent.task
    monkeypatch.undo()
    redaction._own_names.cache_clear()


def test_pulled_runs_are_not_passed_on(hub, history, tmp_path):
    hub.make(REPO, kind="dataset")
    history.push_to_hub(REPO)
    other = RunHistory(tmp_path / "other.db")
    other.pull(REPO)
    hub.make("team/second", kind="dataset")
    assert other.push_to_hub("team/second").added == 0


def test_two_pushers_at_once_both_keep_their_runs(hub, history, tmp_path):
    hub.make(REPO, kind="dataset")
    # The other's run overlaps with one of ours.
    other = RunHistory(tmp_path / "other.db").add(make_record(1, task="rte")).add(make_record(9))
    hub.before("commit", lambda: other.push_to_hub(REPO))
    history.push_to_hub(REPO)
    assert sorted(record.seed for record in pushed_runs(hub)) == [0, 1, 9]
    assert metadata(hub.file(REPO, "README.md", "dataset").decode())["ftrisk"]["runs"] == 3


def test_dry_run_lists_the_files_and_sends_nothing(hub, history):
    hub.make(REPO, kind="dataset")
    planned = history.push_to_hub(REPO, dry_run=True)
    assert (planned.sent, planned.added) == (False, 2)
    assert {name.split("/")[0] for name in planned.files} == {"README.md", "data"}
    assert all(request.method in ("GET", "HEAD") for request in hub.sent())
    assert planned.files == history.push_to_hub(REPO).files


def test_a_missing_dataset_is_created_only_when_asked_for(hub, history):
    with pytest.raises(HubError, match="no such repository"):
        history.push_to_hub(REPO)
    assert history.push_to_hub(REPO, dry_run=True, private=True).added == 2
    assert hub.repos == {}
    history.push_to_hub(REPO, private=True)
    assert hub.repos["dataset", REPO].private is True


def test_create_pr_and_revision(hub, history, tmp_path):
    hub.make(REPO, kind="dataset")
    pushed = history.push_to_hub(REPO, create_pr=True, token=READER)
    assert pushed.pr_url.endswith("/discussions/1")
    assert shards(hub) == {}
    other = RunHistory(tmp_path / "other.db")
    assert other.pull(REPO).added == 0
    assert other.pull(REPO, revision="refs/pr/1").added == 2


def test_task_and_metric_choose_what_is_sent(hub, history):
    hub.make(REPO, kind="dataset")
    assert history.push_to_hub(REPO, task="rte", dry_run=True).added == 1
    assert history.push_to_hub(REPO, metric="f1", dry_run=True).added == 0


def test_the_card_says_what_is_there_and_keeps_what_a_person_wrote(hub, history):
    card = b"---\nlicense: cc0-1.0 # ours\n---\n\n# Our runs\n\nAsk Anna.\n"
    hub.make(REPO, {"README.md": card}, kind="dataset")
    history.push_to_hub(REPO)
    text = hub.file(REPO, "README.md", "dataset").decode()
    assert text.startswith("---\nlicense: cc0-1.0 # ours\ntags:\n- ftrisk\nftrisk:\n")
    assert "# Our runs\n\nAsk Anna.\n" in text
    assert "| rte | 1 |" in text
    assert f"hf-ftrisk history pull runs.db {REPO}" in text
    history.add(make_record(5))
    history.push_to_hub(REPO)
    text = hub.file(REPO, "README.md", "dataset").decode()
    assert "| sst2 | 2 |" in text
    assert text.count("ftrisk:begin") == 1


def test_a_hostile_task_name_stays_text_in_the_card(hub, tmp_path):
    hub.make(REPO, kind="dataset")
    task = "x | <script>alert(1)</script> {{ 7*7 }} <!-- ftrisk:end --> ![a](b)"
    RunHistory(tmp_path / "a.db").add(make_record(task=task)).push_to_hub(REPO)
    text = hub.file(REPO, "README.md", "dataset").decode()
    assert "<script" not in text
    assert "{{" not in text
    assert text.count("<!-- ftrisk:end -->") == 1
    assert "![a]" not in text


def test_a_broken_dataset_card_is_not_touched(hub, history):
    hub.make(REPO, {"README.md": b"---\na: [\n---\n"}, kind="dataset")
    with pytest.raises(CardError):
        history.push_to_hub(REPO)
    assert hub.sent("commit") == []


def test_pulled_files_are_checked(hub, tmp_path):
    run = encode(make_record(3))
    forged = EncodedRun(run.head.replace("sst2", "good"), run.columns)
    rows = pq.read_table(pa.BufferReader(to_parquet([run, forged]))).to_pylist()
    rows[1]["fingerprint"] = run.fingerprint
    table = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), table)
    running = encode(dataclasses.replace(make_record(4), status="running"))
    files = {
        "data/a.parquet": bytes(table.getvalue()),
        "data/b.parquet": to_parquet([running]),
        "data/c.parquet": b"\x80\x04\x95 a pickle",
        "data/evil.pkl": b"\x80\x04\x95",
        "data/deeper/d.parquet": to_parquet([encode(make_record(6))]),
        "elsewhere.parquet": to_parquet([encode(make_record(7))]),
    }
    hub.make(REPO, files, kind="dataset")
    history = RunHistory(tmp_path / "a.db")
    summary = history.pull(REPO)
    assert sorted(record.seed for record in history) == [3, 6]
    reasons = dict(summary.refused)
    assert "fingerprint" in reasons["data/a.parquet, row 1"]
    assert "still running" in reasons["data/b.parquet, row 0"]
    assert "not a readable Parquet file" in reasons["data/c.parquet"]
    assert len(reasons) == 3
    assert not any("evil" in request.path for request in hub.sent("resolve"))


def test_a_huge_file_is_not_downloaded(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("hf_ftrisk.history.sharing.MAX_FILE_BYTES", 100)
    hub.make(REPO, {"data/a.parquet": to_parquet([encode(make_record())])}, kind="dataset")
    summary = RunHistory(tmp_path / "a.db").pull(REPO)
    assert summary.added == 0
    assert "more than 100" in summary.refused[0][1]
    assert hub.sent("resolve") == []


@pytest.mark.parametrize("route", ["info", "tree", "resolve"])
def test_a_pull_survives_a_passing_failure_and_adds_nothing_on_a_lasting_one(
    hub, history, tmp_path, route, monkeypatch
):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    hub.make(REPO, kind="dataset")
    history.push_to_hub(REPO)
    hub.requests.clear()
    other = RunHistory(tmp_path / "other.db")
    hub.cut(route, "after")
    assert other.pull(REPO).added == 2
    third = RunHistory(tmp_path / "third.db")
    hub.fail(route, 500, times=999)
    with pytest.raises(HubError):
        third.pull(REPO)
    assert len(third) == 0


@pytest.mark.parametrize("route", ["tree", "preupload", "batch", "upload", "commit"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_push_whose_connection_breaks_sends_each_run_once(hub, history, route, when, monkeypatch):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    hub.make(REPO, kind="dataset")
    hub.cut(route, when)
    history.push_to_hub(REPO)
    assert sorted(record.seed for record in pushed_runs(hub)) == [0, 1]
    assert len(shards(hub)) == 1


def test_a_refused_token_is_explained_and_not_shown(hub, history):
    hub.make(REPO, kind="dataset")
    with pytest.raises(HubError, match="may not write here") as caught:
        history.push_to_hub(REPO, token=READER)
    assert READER not in str(caught.value)


def test_a_files_name_from_the_hub_commands_no_terminal(hub, history, tmp_path):
    history.push_to_hub(REPO, private=True)
    listed = [{"type": "file", "path": "data/\x1b[2Jowned.parquet", "size": 5, "oid": "a"}]
    hub.fail("tree", 200, body=json.dumps(listed).encode())
    with pytest.raises(HubError, match="is listed but cannot be read") as told:
        RunHistory(tmp_path / "theirs.db").pull(REPO)
    assert str(told.value).isprintable()
