"""Over a hundred kinds of secret in every text of a report or a run: none is in what leaves.

The places are found by walking the dataclasses, so a field that is added later is tried too.
"""

import dataclasses
import json
import typing
from enum import Enum

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from hf_ftrisk.cli.app import app
from hf_ftrisk.history import RunHistory
from hf_ftrisk.hub import attach_card, clean_report, publish
from hf_ftrisk.hub.parts import build_parts
from hf_ftrisk.privacy import clean_record
from hf_ftrisk.record import ModelSelection
from hf_ftrisk.redaction import clean_text
from hf_ftrisk.report.findings import Finish
from tests.fuzzing import fuzz
from tests.hub.trainers import bert_trainer

REPO = "me/tiny"
# Stands in every secret; it must not be found in anything that leaves.
MARK = "zq7x9kw2"
# The same where a secret is a word, without a digit that would tell it from one.
WORD = "zqswordfishkw"
_HEX = "0123456789abcdef"
SECRETS = [
    f"hf_{MARK}ABCDEFGHIJKLMNOPQRST",
    f"my_hf_{MARK}ABCDEFGHIJKLMNOPQRST",
    f"hf_{MARK}ABCDEFGHIJKLMNOPQRST_old",
    f"WANDB_API_KEY={MARK}",
    f"export COMET_API_KEY='{MARK} x'",
    f'{{"api_key": "{MARK}"}}',
    f"password: {MARK}",
    f"DB_PASSWORD={MARK}",
    f"--token {MARK}",
    f"--hub-token={MARK}",
    f"Authorization: Bearer {MARK}.abc",
    f"Bearer {MARK}abcdefgh",
    f"AWS_SECRET_ACCESS_KEY={MARK}/abc+def",
    f"AccountKey={MARK}==;EndpointSuffix=x",
    f"ghp_{MARK}abcdefghijklmnopqrstuvwxyz12",
    f"github_pat_{MARK}abcdefghijklmnop",
    f"glpat-{MARK}abcdefgh",
    f"sk-proj-{MARK}abcdefghijk",
    f"AKIA{MARK.upper()}ABCDEFGH",
    f"xoxb-123456-{MARK}",
    f"npm_{MARK}abcdefghijk",
    f"AIza{MARK}abcdefghijklmnopqrs",
    f"eyJhbGciOi{MARK}.eyJzdWIi.{MARK}",
    f"-----BEGIN RSA PRIVATE KEY----- {MARK} -----END RSA PRIVATE KEY-----",
    f"https://hooks.slack.com/services/T0/B0/{MARK}",
    f"https://someone:{MARK}@example.com/x",
    f"https://x.example.com/f?X-Amz-Signature={MARK}",
    f"postgres://me:{MARK}@db/x",
    f"s3://{MARK}/runs",
    f"gs://{MARK}/runs",
    f"https://{MARK}.blob.core.windows.net/c/f",
    f"Error:/home/{MARK}/x",
    f"/home/{MARK}/my files/{MARK} 1/x",
    f"C:\\Users\\{MARK.title()} Smith\\{MARK}",
    f"\\\\server\\{MARK}\\x",
    f"--output_dir=/data/{MARK}",
    f"~/{MARK}/x",
    f"in {MARK}/rows.csv there",
    f"{MARK}@example.org",
    f"git@github.com:team/{MARK}.git",
    f"{MARK}.corp",
    f"$HOME/{MARK}",
    f"PGPASSWORD={MARK}",
    f"db_pass={MARK}",
    f"wandb_v1_{MARK}abcdefgh",
    f"hvs.CAES{MARK}abcdefgh",
    f"AGE-SECRET-KEY-1{MARK.upper()}QQQQ",
    f"wJalrXUtnFEMI/{MARK}K7MDENGbPxRfiCYEXA",
    f"arn:aws:iam::123456789012:user/{MARK}",
    f"%2Fhome%2F{MARK}%2Fx",
    f"whsec_{MARK}abcdefghijkl",
    f"glsa_{MARK}abcdefghijkl",
    f"xai-{MARK}abcdefghijkl",
    f"tgp_v1_{MARK}abcdefghijkl",
    f"rpa_{MARK}abcdefghijkl",
    f"tskey-auth-{MARK}-abcdefghijkl",
    f"dp.pt.{MARK}abcdefghijkl",
    f"abc8de4fg{MARK}h2ij5kl7mn",
    f"Authorization: ApiKey {MARK}",
    f"Cookie: a=b; session={MARK}",
    f"{{'pass': '{MARK}'}}",
    f"secret = {{'a': '{MARK}'}}",
    f"--hub_token {MARK}",
    f"--wandb_key={MARK}",
    f"contrase\u00f1a: {MARK}",
    f"\u5bc6\u7801: {MARK}",
    f"ssh-rsa AAAAB3NzaC1yc2E{MARK} me@laptop",
    f"https://x.webhook.office.com/webhookb2/{MARK}",
    f"minio://{MARK}/runs",
    f"//server/{MARK}/x",
    f"C:/Users/Anna {MARK.title()}/x",
    f"MASTER_ADDR={MARK}",
    f"{MARK}:12:13 [0] NCCL INFO",
    f"{MARK}.compute-1.amazonaws.com",
    f"WANDB_API_KEY {MARK}",
    f"wandb login {MARK}aaaaaaaaaaaaaaaa",
    f"secret_key={MARK}",
    f"AZURE_STORAGE_KEY={MARK}",
    f"CLEARML_API_SECRET_KEY: {MARK}",
    f"LDAPPASS={MARK}",
    f"bearer={MARK}abcdefgh",
    f"the password is {MARK}",
    f"pass: {MARK}",
    f'{{"key": "{MARK}abcdefgh"}}',
    f"123456789:AA{MARK}abcdefghijklmnopqrstuv",
    f"discord.com/api/webhooks/1/{MARK}",
    f"ssh -p 22 {MARK}@login1:x",
    f"/my data/{MARK}/x",
    f"${{DATA_DIR}}/{MARK}",
    f"$DATA/{MARK}/x",
    f"%APPDATA%\\{MARK}",
    f"1/home/{MARK}/x",
    f"sshpass -p {MARK} ssh x",
    f"-p {MARK}",
    f"-p='{MARK} x'",
    f"mysql -u root -p{MARK} db",
    f"curl -u me:{MARK} x",
    f"--user me:{MARK}",
    f"--password {MARK}",
    f"user={MARK}",
    f"DB_USER={MARK}",
    f"user_name = '{MARK}'",
    f'{{"user": "{MARK}"}}',
    f"username: {MARK}",
    f"--username {MARK}",
    f"Currently logged in as: {MARK}",
    f"/{MARK}",
    f"cd /{MARK}",
    f"output_dir=/{MARK}",
    f"home/{MARK}/x",
    f"the password is {WORD}",
    f"password for the box was {WORD}",
    f"my api key is '{WORD} x'",
    f'passphrase "{WORD} x"',
    f"passwort: {WORD}",
    f"pw={WORD}",
    f"credentials me:{WORD}",
    f"username = {WORD}",
    f"username= {WORD}",
    f"user_id={WORD}",
    f"username:{WORD}",
    f"the username is {WORD}",
    f"user: '{WORD}'",
    f"uid=1000({WORD}) groups=1000({WORD}),27({WORD})",
    f"sudo -u {WORD}",
    f"ssh -l {WORD} there",
    f"chown -R {WORD}:{WORD} x",
    f"signed in as {WORD}",
    f"/home /{WORD}",
    f"the home is /{WORD}",
    f"cd ~{WORD}",
    f"Users/{WORD}",
    f"Users\\{WORD}",
    f"hostname: {WORD}",
    f"HOST={WORD}",
    f"http://{WORD}:8080/{WORD}",
]
# What is told from a sentence only where nothing follows.
ALONE = [
    f"user: {WORD}",
    f"login: {WORD}",
    f"whoami: {WORD}",
    f"host: {WORD}",
]
FIXED = {"stage", "severity", "kind", "status", "draws", "weights", "identified"}
FIXED |= {"regime_probabilities", "way"}
ADDRESSES = [
    "10.1.2.3:8080",
    "2001:db8::8a2e:370:7334",
    "[2001:db8::7334]:8080",
    "fe80::7334%eth0",
    "aa:bb:cc:dd:ee:7f",
    "node:2001:db8::7334",
    "ip-10-11-73-34",
    "ip-10-11-73-34.ec2.internal",
]


def leaks(content):
    content = content if isinstance(content, bytes) else str(content).encode()
    return MARK.encode() in content.lower() or WORD.encode() in content.lower()


def fixed(value, name):
    """Whether a text is one of a few words: no other can stand there, see below."""
    return isinstance(value, Enum) or name in FIXED


def planted(value, secrets, name=""):
    """`value` with a secret in place of every text in it, and as a name in every table."""
    if fixed(value, name):
        return value
    if isinstance(value, str):
        return next(secrets)
    if isinstance(value, dict):
        known = {key: planted(item, secrets, str(key)) for key, item in value.items()}
        return known | {next(secrets): item for item in list(known.values())[:1]}
    if isinstance(value, list | tuple):
        return type(value)(planted(item, secrets) for item in value)
    if dataclasses.is_dataclass(value):
        inside = {f.name: planted(getattr(value, f.name), secrets, f.name) for f in fields(value)}
        return dataclasses.replace(value, **inside)
    return value


def fields(value):
    return [field for field in dataclasses.fields(value) if field.init]


def texts(value, name=""):
    """Every text that `planted` can reach, to see that it was reached."""
    if fixed(value, name):
        return
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for key, item in value.items() for text in texts(item, str(key)))
    elif isinstance(value, list | tuple):
        yield from (text for item in value for text in texts(item))
    elif dataclasses.is_dataclass(value):
        yield from (t for f in fields(value) for t in texts(getattr(value, f.name), f.name))


def parts(value):
    """Every dataclass in a value, itself included."""
    if dataclasses.is_dataclass(value):
        yield value
        value = [getattr(value, field.name) for field in fields(value)]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        yield from (part for item in value for part in parts(item))


def may_hold_text(hint):
    """Whether a value of this type may have a text in it."""
    if hint in (str, typing.Any):
        return True
    if dataclasses.is_dataclass(hint):
        return any(map(may_hold_text, typing.get_type_hints(hint).values()))
    if typing.get_origin(hint) is np.ndarray:
        return False
    return any(may_hold_text(inner) for inner in typing.get_args(hint))


def is_empty(value):
    return value is None or (isinstance(value, str | dict | list | tuple) and not value)


def cycle(first=0):
    while True:
        yield SECRETS[first % len(SECRETS)]
        first += 1


@pytest.fixture
def whole(full_report):
    """A report of which no text is missing."""
    run = dataclasses.replace(
        full_report.run,
        task="a task",
        selection=ModelSelection("eval_quality", True),
        nan_steps={"loss": [3.0]},
        baselines={"eval_accuracy": 0.5},
        final={"eval_accuracy": 0.9},
        settings={"model": "bert", "dataset": "sst2", "versions": {"torch": "2"}, "other": "x"},
        static={"rows": 5.0},
    )
    return dataclasses.replace(
        full_report,
        cost=dataclasses.replace(full_report.cost, currency="EUR", full_money=1.0),
        finish=Finish(40, "gain", 0.9, 40, 0.001, 0.002, 0.003, "little more is to be gained"),
        decomposition=dataclasses.replace(full_report.decomposition, notes=("a note",)),
        diagnoses=(dataclasses.replace(full_report.diagnoses[0], evidence={"steps": 3.0}),),
        run=run,
        probes=(run, run),
        settings={"model": "bert", "seeds": ["x"], "versions": {"torch": "2"}, "other": {"a": "b"}},
    )


def test_every_text_is_one_that_secrets_are_planted_in(whole):
    """A field of text that is empty here would not be tried."""
    planted_texts = list(texts(planted(whole, cycle())))
    assert [text for text in planted_texts if not any(secret in text for secret in SECRETS)] == []
    empty = {
        f"{type(part).__name__}.{name}"
        for part in parts(whole)
        for name, hint in typing.get_type_hints(type(part)).items()
        if may_hold_text(hint) and is_empty(getattr(part, name))
    }
    assert empty == set()


@pytest.mark.parametrize("secret", [*SECRETS, *ADDRESSES])
def test_no_kind_of_secret_is_in_what_is_made_of_a_report(whole, secret):
    made = build_parts(planted(whole, iter(lambda: secret, None)), figure=False)
    kept = clean_text(f"before {secret} after")
    content = [made.section, json.dumps(made.metadata), *made.files.values(), kept]
    if secret in ADDRESSES:
        assert not [part for part in content if "7334" in str(part) or secret in str(part)]
    assert not [part for part in content if leaks(part)]
    assert kept.startswith("before")
    assert clean_text(kept) == kept


@pytest.mark.parametrize("secret", ALONE)
def test_no_name_that_stands_alone_is_in_what_is_made_of_a_report(whole, secret):
    made = build_parts(planted(whole, iter(lambda: secret, None)), figure=False)
    content = [made.section, json.dumps(made.metadata), *made.files.values()]
    content += [clean_text(secret), clean_text(f"{secret}, step 3")[len(secret) :]]
    assert not [part for part in content if leaks(part)]


@pytest.mark.parametrize("first", [0, 17])
def test_no_byte_of_a_secret_is_published(hub, whole, first, tmp_path):
    hub.make(REPO)
    publish(planted(whole, cycle(first)), REPO, keep_in=tmp_path)
    files = hub.repos["model", REPO].history()[0].files
    assert {"README.md", "ftrisk/report.json", "ftrisk/report.png"} <= set(files)
    sent = [request.body for request in hub.requests] + list(files.values())
    sent += [f"{request.path} {request.headers}" for request in hub.requests]
    assert not [part for part in sent if leaks(part)]


@pytest.mark.slow
def test_no_byte_of_a_secret_is_in_the_card_that_a_trainer_pushes(whole, tmp_path):
    trainer = bert_trainer(tmp_path)
    attach_card(trainer, planted(whole, cycle(5)))
    trainer.create_model_card()
    written = [part for part in tmp_path.rglob("*") if part.is_file()]
    assert tmp_path / "ftrisk" / "report.json" in written
    assert not [part for part in written if leaks(part.read_bytes())]


def test_no_byte_of_a_secret_is_in_a_history_that_is_pushed(hub, whole, tmp_path):
    history = RunHistory(tmp_path / "runs.db")
    history.add_all(planted(whole.run, cycle(first)) for first in range(0, len(SECRETS), 7))
    history.push_to_hub(REPO, private=True)
    files = hub.repos["dataset", REPO].history()[0].files
    tables = [
        pq.read_table(pa.BufferReader(content)).to_pylist()
        for name, content in files.items()
        if name.endswith(".parquet")
    ]
    assert len(tables[0]) == len(range(0, len(SECRETS), 7))
    sent = [*tables, *files.values(), *(request.body for request in hub.requests)]
    assert not [part for part in sent if leaks(part)]


@pytest.mark.parametrize("secret", SECRETS[::6])
def test_no_secret_is_in_the_json_of_a_replay(tmp_path, secret):
    log = [
        {"step": step, "loss": 1.0, f"eval_{secret}": 0.5, "eval_accuracy": 0.5, "note": secret}
        for step in (10, 20, 30)
    ]
    state = {"log_history": log, "max_steps": 30, "global_step": 30, "run": secret}
    folder = tmp_path / MARK
    for name, content in (("good", json.dumps(state)), ("bad", "{")):
        (folder / name).mkdir(parents=True)
        (folder / name / "trainer_state.json").write_text(content, encoding="utf-8")
    done = CliRunner().invoke(app, ["replay", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    assert not leaks(done.output)


@pytest.mark.parametrize("form", ["--json", "--markdown"])
def test_no_byte_of_a_secret_is_in_a_report_that_is_printed_to_be_passed_on(whole, tmp_path, form):
    for first in range(0, len(SECRETS), 9):
        saved = planted(whole, cycle(first)).save(tmp_path / "report.json")
        done = CliRunner().invoke(app, ["report", str(saved), form])
        assert done.exit_code == 0, done.output
        assert not leaks(done.output)


# --- what cannot be text ---------------------------------------------------------------------


@pytest.mark.parametrize("field", ["stage", "outcome", "optimal_depth", "stopped_at", "baseline"])
def test_a_text_where_none_can_be_makes_cleaning_fail(whole, field):
    with pytest.raises(TypeError, match="not sent"):
        clean_report(dataclasses.replace(whole, **{field: SECRETS[0]}))


def test_a_text_among_numbers_makes_cleaning_fail(whole):
    look = dataclasses.replace(whole.looks[0], observed=SECRETS[3])
    weights = {SECRETS[5]: 1.0}
    risk = dataclasses.replace(whole.decomposition, weights=weights)
    draws = dataclasses.replace(whole.decomposition.draws, forms=(SECRETS[0],))
    for changed in (
        {"looks": (look,)},
        {"decomposition": risk},
        {"finish": dataclasses.replace(whole.finish, way=SECRETS[4])},
        {"decomposition": dataclasses.replace(whole.decomposition, draws=draws)},
        {"risk_curve": ((1.0, 2.0, SECRETS[1]),)},
        {"diagnoses": (dataclasses.replace(whole.diagnoses[0], severity=SECRETS[2]),)},
    ):
        with pytest.raises(TypeError, match="not sent"):
            clean_report(dataclasses.replace(whole, **changed))


def test_cleaning_twice_is_cleaning_once(whole):
    once = clean_report(planted(whole, cycle(3)))
    assert clean_report(once).to_dict() == once.to_dict()
    record = clean_record(planted(whole.run, cycle(9)))
    assert clean_record(record).to_dict() == record.to_dict()


_pieces = st.lists(
    st.sampled_from(SECRETS) | st.text(" /\\:=._-@'\"ahf0[]", max_size=6), max_size=5
)


@settings(deadline=None, max_examples=fuzz(150))
@given(_pieces, st.sampled_from([" ", "  ", ", ", "; ", " (", "\n"]))
@example(["./0\\"], " ")
@example([f"C:\\Users\\{MARK.title()} Smith\\{MARK}", "\\/=.]"], "\n")
def test_secrets_next_to_anything_are_found(pieces, joint):
    cleaned = clean_text(joint.join(pieces))
    assert not leaks(cleaned)
    assert clean_text(cleaned) == cleaned
