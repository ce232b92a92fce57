"""publish: against a Hub over real HTTP, with everything that goes wrong there."""

import json
import logging

import huggingface_hub.constants as constants
import pytest
from huggingface_hub import ModelCard

from hf_ftrisk.errors import CardError, HubError
from hf_ftrisk.hub import publish
from hf_ftrisk.hub_repo.card import metadata
from hf_ftrisk.report import RiskReport
from tests.local_hub import READER, WRITER

REPO = "me/tiny"
CARD = b"---\r\nlicense: mit # ours\r\ntags:\r\n- a\r\n---\r\n\r\n# Tiny \xe2\x98\x83\r\n"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.fixture
def _no_client_waits(monkeypatch):
    """The waits of the client's own retries; ours are short already."""
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)


def writes(hub):
    return hub.sent("create", "validate", "preupload", "commit", "batch", "upload")


def test_section_metadata_tag_and_report_are_committed(hub, report):
    hub.make(REPO, {"README.md": CARD})
    published = publish(report, REPO, figure=False)
    card = hub.file(REPO, "README.md")
    assert card.startswith(b"---\r\nlicense: mit # ours\r\ntags:\r\n- a\r\n- ftrisk\r\nftrisk:\r\n")
    assert "# Tiny \u2603\r\n".encode() in card
    assert b"\n" not in card.replace(b"\r\n", b"")
    assert metadata(card.decode())["ftrisk"]["verdict"] == "GO"
    sent = json.loads(hub.file(REPO, "ftrisk/report.json"))
    assert RiskReport.from_dict(sent).goal.target == 0.85
    head = hub.repos["model", REPO].history()[0]
    assert published.sent
    assert published.commit_url.endswith(head.oid)
    assert set(published.files) == {"README.md", "ftrisk/report.json"}
    assert all(size == len(head.files[name]) for name, size in published.files.items())


def test_the_prediction_is_no_evaluation_result(hub, make_report):
    index = b"---\nmodel-index:\n- name: x\n  results: []\n---\n# x\n"
    hub.make(REPO, {"README.md": index})
    publish(make_report(outcome=0.871), REPO, figure=False)
    card = hub.file(REPO, "README.md")
    assert metadata(card.decode())["model-index"] == [{"name": "x", "results": []}]
    assert not ModelCard(card.decode()).data.eval_results
    names = hub.repos["model", REPO].history()[0].files
    assert not any(name.startswith(".eval_results") for name in names)


def test_publishing_the_same_again_commits_nothing(hub, report):
    hub.make(REPO, {"README.md": CARD})
    publish(report, REPO, figure=False)
    publish(report, REPO, figure=False)
    assert len(hub.repos["model", REPO].history()) == 2


def test_the_truth_replaces_the_section_and_nothing_else(hub, report, make_report):
    hub.make(REPO, {"README.md": CARD})
    publish(report, REPO, figure=False)
    edited = hub.file(REPO, "README.md") + "Written later: \u00e9t\u00e9\r\n".encode()
    hub.edit(REPO, "README.md", edited)
    publish(make_report(outcome=0.871), REPO, figure=False)
    after = hub.file(REPO, "README.md").decode()
    assert "| Outcome |" in after
    assert after.endswith("Written later: \u00e9t\u00e9\r\n")
    assert metadata(after)["ftrisk"]["outcome"] == 0.871


def test_a_repository_without_a_card_gets_one(hub, report):
    hub.make(REPO)
    publish(report, REPO, figure=False)
    card = ModelCard(hub.file(REPO, "README.md").decode())
    assert "# tiny" in card.text
    assert card.data.tags == ["ftrisk"]


def test_dry_run_shows_the_change_and_sends_nothing(hub, report):
    hub.make(REPO, {"README.md": CARD})
    published = publish(report, REPO, dry_run=True, figure=False)
    assert not published.sent
    assert "\n+- ftrisk" in published.diff
    assert "\n-" not in published.diff.split("@@", 1)[1]
    assert published.files["ftrisk/report.json"] > 100
    assert writes(hub) == []
    assert all(request.method in ("GET", "HEAD") for request in hub.sent())


def test_dry_run_of_a_repository_still_to_be_created(hub, report):
    published = publish(report, REPO, dry_run=True, private=True, figure=False)
    assert "+# tiny" in published.diff
    assert writes(hub) == []


def test_an_edit_made_meanwhile_is_kept(hub, report):
    hub.make(REPO, {"README.md": CARD})
    theirs = CARD + b"Theirs, at the last moment.\r\n"
    hub.before("commit", lambda: hub.edit(REPO, "README.md", theirs))
    publish(report, REPO, figure=False)
    card = hub.file(REPO, "README.md")
    assert b"Theirs, at the last moment.\r\n" in card
    assert b"Fine-tuning risk" in card
    assert len(hub.sent("commit")) == 2


def test_endless_conflicts_end_in_an_error(hub, report):
    hub.make(REPO, {"README.md": CARD})
    hub.before("commit", lambda: hub.edit(REPO, "other", b"x" * len(hub.requests)), times=99)
    with pytest.raises(HubError, match="somebody committed in between"):
        publish(report, REPO, figure=False)
    assert len(hub.sent("commit")) == 8


def test_create_pr_leaves_the_branch_alone(hub, report):
    hub.make(REPO, {"README.md": CARD})
    published = publish(report, REPO, create_pr=True, token=READER, figure=False)
    assert published.pr_url.endswith("/discussions/1")
    assert hub.file(REPO, "README.md") == CARD
    assert b"Fine-tuning risk" in hub.file(REPO, "README.md", revision="refs/pr/1")


def test_revision_names_the_branch(hub, report):
    repo = hub.make(REPO, {"README.md": CARD})
    repo.branches["v2"] = repo.branches["main"]
    publish(report, REPO, revision="v2", figure=False)
    assert hub.file(REPO, "README.md") == CARD
    assert b"Fine-tuning risk" in hub.file(REPO, "README.md", revision="v2")


def test_an_unknown_revision_is_named(hub, report):
    hub.make(REPO, {"README.md": CARD})
    with pytest.raises(HubError, match="no such branch or revision"):
        publish(report, REPO, revision="nope", figure=False)


@pytest.mark.parametrize("private", [True, False])
def test_private_creates_the_repository(hub, report, private):
    publish(report, REPO, private=private, figure=False)
    assert hub.repos["model", REPO].private is private
    assert b"Fine-tuning risk" in hub.file(REPO, "README.md")


def test_private_leaves_an_existing_repository_as_it_is(hub, report):
    hub.make(REPO, {"README.md": CARD})
    publish(report, REPO, private=True, figure=False)
    assert hub.repos["model", REPO].private is False


def test_a_missing_repository_is_not_created_by_a_typing_error(hub, report):
    with pytest.raises(HubError, match=r"me/tiny: no such repository.*left in .*me--tiny"):
        publish(report, REPO, figure=False)
    assert hub.repos == {}


@pytest.mark.parametrize(
    ("token", "message"),
    [("hf_expiredexpiredexpired", "refuses the token"), (READER, "may not write here")],
)
def test_a_refused_token_is_explained_and_not_shown(hub, report, token, message):
    hub.make(REPO, {"README.md": CARD})
    with pytest.raises(HubError, match=message) as caught:
        publish(report, REPO, token=token, figure=False)
    assert token not in str(caught.value)
    assert hub.file(REPO, "README.md") == CARD


def test_a_token_the_hub_repeats_is_blotted_out(hub, report, caplog):
    hub.make(REPO, {"README.md": CARD})
    said = json.dumps({"error": f"token {WRITER} is not good"}).encode()
    hub.fail("commit", 403, body=said, Content_Type="application/json")
    with caplog.at_level(logging.DEBUG), pytest.raises(HubError) as caught:
        publish(report, REPO, figure=False)
    assert "[token] is not good" in str(caught.value)
    assert WRITER not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert WRITER not in caplog.text


def test_offline_leaves_the_files_for_later(hub, report, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="offline mode is on: unset HF_HUB_OFFLINE"):
        publish(report, REPO, keep_in=tmp_path / "kept", figure=False)
    kept = tmp_path / "kept" / "me--tiny"
    assert "Fine-tuning risk" in (kept / "risk_section.md").read_text(encoding="utf-8")
    assert RiskReport.load(kept / "ftrisk" / "report.json").verdict == report.verdict
    assert hub.sent() == []


def test_no_token_is_a_clear_message(hub, report, monkeypatch):
    hub.make(REPO, {"README.md": CARD})
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match="log in"):
        publish(report, REPO, figure=False)


@pytest.mark.parametrize("route", ["info", "resolve", "validate", "commit"])
def test_a_passing_failure_is_survived(hub, report, route):
    hub.make(REPO, {"README.md": CARD})
    hub.fail(route, 502, times=2, body=b"<html>bad gateway</html>")
    publish(report, REPO, figure=False)
    assert b"Fine-tuning risk" in hub.file(REPO, "README.md")


@pytest.mark.usefixtures("_no_client_waits")
@pytest.mark.parametrize("route", ["info", "resolve", "validate", "preupload", "commit"])
def test_a_lasting_failure_is_given_up_and_the_card_kept(hub, report, route, tmp_path):
    hub.make(REPO, {"README.md": CARD})
    hub.fail(route, 500, times=999, body=b"down")
    with pytest.raises(HubError, match=r"fails with status 500|unreadable"):
        publish(report, REPO, keep_in=tmp_path, figure=False)
    # Four tries of ours, up to seven of the client's own in each.
    assert len(hub.sent(route)) <= 28
    assert hub.file(REPO, "README.md") == CARD
    kept = {path.name for path in (tmp_path / "me--tiny").iterdir()}
    assert ("README.md" in kept) == (route in ("validate", "preupload", "commit"))


def test_a_rate_limit_is_waited_for(hub, report):
    hub.make(REPO, {"README.md": CARD})
    hub.fail("commit", 429, Retry_After="1")
    publish(report, REPO, figure=False)
    assert b"Fine-tuning risk" in hub.file(REPO, "README.md")


def test_a_long_rate_limit_is_said_and_not_waited_for(hub, report):
    hub.make(REPO, {"README.md": CARD})
    hub.fail("commit", 429, times=99, Retry_After="3600")
    with pytest.raises(HubError, match="rate limit is reached, to be tried again after 3600 s"):
        publish(report, REPO, figure=False)
    assert len(hub.sent("commit")) == 1


@pytest.mark.usefixtures("_no_client_waits")
@pytest.mark.parametrize("route", ["info", "resolve", "validate", "preupload", "commit"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_broken_connection_commits_once(hub, report, route, when):
    hub.make(REPO, {"README.md": CARD})
    hub.cut(route, when)
    publish(report, REPO, figure=False)
    assert len(hub.repos["model", REPO].history()) == 2
    assert b"Fine-tuning risk" in hub.file(REPO, "README.md")


@pytest.mark.usefixtures("_no_client_waits")
@pytest.mark.parametrize("route", ["create", "batch", "upload"])
@pytest.mark.parametrize("fault", ["503", "before", "after"])
def test_creating_and_large_files_survive_a_passing_failure(hub, report, route, fault):
    if fault == "503":
        hub.fail(route, 503)
    else:
        hub.cut(route, fault)
    publish(report, REPO, private=True)
    assert hub.file(REPO, "ftrisk/report.png").startswith(b"\x89PNG")
    assert len(hub.repos["model", REPO].history()) == 2


def test_a_pull_request_whose_answer_is_lost_is_not_opened_twice(hub, report):
    hub.make(REPO, {"README.md": CARD})
    hub.cut("commit", "after")
    with pytest.raises(HubError, match="check whether the pull request was opened"):
        publish(report, REPO, create_pr=True, figure=False)
    assert len(hub.sent("commit")) == 1


def test_no_server_at_all(hub, report, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match=r"no connection to http://127.0.0.1:9.*tried 4 times"):
        publish(report, REPO, figure=False)


def test_a_broken_remote_card_is_not_touched(hub, report):
    hub.make(REPO, {"README.md": b"---\nlicense: [mit\n---\n# x\n"})
    with pytest.raises(CardError, match=r"(?s)not valid YAML.*left in"):
        publish(report, REPO, figure=False)
    assert writes(hub) == []


def test_a_name_that_is_none_is_refused(hub, report):
    with pytest.raises(HubError, match="not a repository's name"):
        publish(report, "a/b/c d", figure=False)
    assert hub.sent() == []
