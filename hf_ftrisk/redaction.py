"""Text without what should stay on the machine it was written on.

Paths, files, addresses, buckets, tokens, and the names of this host and user are replaced by a word
in brackets that says what was there. The forms of tokens are those their providers document. A
scanner such as detect-secrets looks for most of them too, in files and by line; it knows neither
paths nor hosts, and would be one more dependency of everything that writes a report.
Text that was cleaned is not changed by cleaning it again.
"""

from __future__ import annotations

import contextlib
import getpass
import ipaddress
import re
import socket
from functools import lru_cache
from pathlib import Path

from hf_ftrisk.text import MAX_TEXT, printable

_DATA_FILE = (
    r"\.(?:arrow|bin|cfg|ckpt|csv|db|env|feather|gguf|h5|ini|ipynb|jsonl?|key|log|npy|npz|onnx|"
    r"parquet|pdf|pem|pkl|pth?|py|safetensors|sh|sqlite3?|tar|tsv|txt|xlsx?|ya?ml|zip)"
)
_PART = r"[^\s/\\'\"<>|*?`,;()\[\]{}]"
# A path may go on after spaces: up to three words, and one with a separator in it.
_ON = rf"(?: (?:{_PART}+ ){{0,2}}{_PART}*/(?:{_PART}|/)*)*"
_ON_WINDOWS = rf"(?: (?:{_PART}+ ){{0,2}}{_PART}*\\(?:{_PART}|\\)*)*"
_SECRET = (
    r"(?:token|secret|password|passwort|passwd|passphrase|passcode|pwd|pat|api[_.-]?key|"
    r"(?:access|account|auth|encryption|master|private|service|session|shared|signing|ssh)"
    r"[_-]?(?:access[_-]?)?(?:key|signature)|credentials?|authorization|cookie|"
    r"(?:anthropic|aws|azure|clearml|cohere|comet|gcp|groq|hf|mistral|neptune|openai|swanlab|together|"
    r"wandb)[_-]key|contrase[ñn]a|mot de passe|senha|wachtwoord|пароль|密码|密碼|パスワード|"
    r"비밀번호)"
)
_VALUE = (
    r"(?:'[^']*'|\"[^\"]*\"|[\[{(][^\]})]*[\]})]|"
    r"(?:(?:apikey|basic|bearer|digest|negotiate|token) )?[^\s,;'\"]+)"
)
# The words before a name that are joined to it. They are read from where the first of them begins:
# from each of them on, a word of a thousand parts takes minutes.
_BEGIN = r"(?<![A-Za-z0-9_.-])"
_JOINED = r"(?:[A-Za-z0-9_.-]*[_.-])?"
# A tokenizer's, which is no secret.
_SPECIAL = (
    r"(?![A-Za-z0-9_.-]*(?:audio|bos|cls|end|eos|image|mask|pad|response|sep|special|start|stop|unk|"
    r"video)_token)"
)
# What follows an option or a name where prose goes on.
_PROSE = (
    r"(?:an?|and|are|argument|false|flag|for|has|if|in|is|means?|no|none|not|null|of|option|or|"
    r"sets?|the|to|true|value|was|with)\b(?!=)"
)
# What is said of a password or a name, in place of telling it: "is missing", "was never read".
_SAID = (
    r"(?:\w+(?:ed|ing)|about|again|all|already|also|always|as|asked|at|bad|best|by|correct|currently|"
    r"different|empty|fine|found|from|given|good|gone|here|hidden|incorrect|invalid|just|kept|known|"
    r"left|lost|long|mandatory|never|new|not|now|ok|okay|old|on|only|optional|our|out|part|private|"
    r"public|put|read|safe|same|secret|sent|set|shown|short|simply|so|still|strong|taken|that|their|"
    r"there|this|too|unique|unknown|unset|unsafe|used|valid|very|weak|what|where|written|wrong|"
    r"your|on\w+)\b(?![=@/-])"
)
# Who speaks in a conversation, and what a field of a name says when there is none.
_NOBODY = (
    r"(?:assistant|default|failed|hello|hi|no|ok|okay|required|system|unknown|yes)\b(?![\w@.-])"
)
_BE = r"(?:is|was)(?: (?:now|still|just|currently|simply))?"
# Where a value of one word ends, and no sentence goes on: at the end, a comma, the next field.
_END = r"(?=[.!]?\s*(?:$|[,;|)\]}]|[\w.-]+\s*[:=]))"
# A word that is none: of eight characters or more, letters and digits.
_MIXED = r"(?=[\w./+=-]*\d)(?=[\w./+=-]*[A-Za-z])[\w./+=-]{8,}"
_SCHEMES = (
    r"(?:s3[an]?|gs|gcs|abfss?|wasbs?|adl|az|azure|oss|cosn?|r2|b2|swift|hdfs|webhdfs|viewfs|dbfs|"
    r"file|smb|nfs|ftps?|sftp|ssh|scp|rsync|git\+ssh|jdbc|odbc|sqlite|postgres(?:ql)?|mysql|mariadb|"
    r"mongodb|rediss?|amqps?|ldaps?|mlflow-artifacts|dvc)"
)

_REPLACED: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), word)
    for pattern, word in (
        # --- tokens
        (r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|$)", "[token]"),
        (r"(?i)https?://[^\s'\"<>]*webhook[^\s'\"<>]*", "[token]"),
        (r"(?i)(?:https?://)?(?:hooks\.slack|discord(?:app)?)\.com/(?:services|workflows|api/webhooks)/\S+",
         "[token]"),
        (r"(?<=://)[^/\s@\[\]]+@", ""),
        (r"(?i)(?<![A-Za-z0-9])(?:set-)?cookie\s*:\s*[^\s;,'\"]+(?:;\s*[\w.-]+(?:=[^\s;,'\"]+)?)*",
         "[token]"),
        (rf"(?i)(?<![A-Za-z0-9-])--?{_SPECIAL}(?:[\w-]*[_-])?{_SECRET}(?: +|=){_VALUE}", "[token]"),
        (rf"(?i){_BEGIN}{_SPECIAL}['\"]?{_JOINED}{_SECRET}(?:[_-](?:id|key))?['\"]?\s*(?:=>|:=|=|:)\s*"
         rf"{_VALUE}", "[token]"),
        (rf"(?i)(?<![A-Za-z0-9])pw\s*[=:]\s*(?![\d.]+(?!\w)|{_PROSE}){_VALUE}", "[token]"),
        (rf"(?i){_BEGIN}(?:[A-Za-z0-9_.-]*(?:password|passwd|pwd)|{_JOINED}pass)=\s*{_VALUE}",
         "[token]"),
        (rf"(?i)['\"]pass['\"]\s*[:=]\s*{_VALUE}", "[token]"),
        (rf"(?<![A-Za-z0-9])[A-Za-z]+(?:Key|Token|Secret|Password|Signature)\s*[=:]\s*{_VALUE}",
         "[token]"),
        # The password of sshpass, `docker login`, mysql and the like; a port or a share is none.
        (rf"(?<![A-Za-z0-9-])(?<!mkdir )(?<!cp )-p(?: +|=)"
         rf"(?![\d.:]+(?!\w)|[-/\[]|no:|{_PROSE}){_VALUE}",
         "[token]"),
        (r"(?i)(?<![A-Za-z0-9])((?:mysql|mariadb)\w*(?: +[^\s,;]+){0,12}? +)-p[^\s,;'\"]+",
         r"\1[token]"),
        (r"(?<![A-Za-z0-9-])(?:-u|--user)(?: +|=)[\w.@-]+:[^\s,;'\"]+", "[token]"),
        # A variable of the environment, and a secret that is told in words.
        (rf"(?<![A-Za-z0-9])[A-Z][A-Z0-9_]{{0,60}}(?:KEY|PASS|DSN)['\"]?\s*[=:]\s*{_VALUE}",
         "[token]"),
        (rf"(?<![A-Za-z0-9])[A-Z][A-Z0-9]{{0,40}}_[A-Z0-9_]{{0,60}}(?:KEY|TOKEN|SECRET|PASS(?:WORD)?)"
         rf" +{_MIXED}", "[token]"),
        (rf"(?i)(?<![A-Za-z0-9])(?:token|password|passwd|passphrase|secret|api[ _-]?key|login)"
         rf"(?: is|:)? +{_MIXED}|(?<![A-Za-z0-9])pass: +{_MIXED}", "[token]"),
        # "The password for the box is swordfish": what is said of one ("is wrong") is no password.
        (rf"(?i)(?<![A-Za-z0-9])(?:password|passwort|passwd|passphrase|passcode|pwd|api[ _-]?key)"
         rf"(?: (?:for|of|on|to)(?: [\w.@-]+){{1,3}}?)? {_BE} +(?!{_SAID}|{_PROSE}|\.\.){_VALUE}",
         "[token]"),
        (r"(?i)(?<![A-Za-z0-9])(?:password|passwort|passwd|passphrase|passcode)"
         r" +(?:'[^']+'|\"[^\"]+\")", "[token]"),
        (r"(?<![A-Za-z0-9])(?:PIN|pin|OTP|TAN|2FA|MFA)(?: code)?(?: is|:|=| =)? *\d{4,8}(?![\w.])",
         "[token]"),
        (r"(?i)(?<![A-Za-z0-9])credentials +[\w.@-]+:[^\s/,;'\"]+", "[token]"),
        (rf"(?i)['\"]key['\"]\s*:\s*['\"]{_MIXED}['\"]", "[token]"),
        (r"(?i)(?<![A-Za-z0-9])(?:bearer|basic)[ =:]+[\w.~+/=-]{8,}", "[token]"),
        (r"(?i)(?<=[?&])[\w.-]*(?:sig|signature|key|token|code|credential)=[^&\s]+", "[token]"),
        # Documented beginnings, whatever is joined to them by an underscore.
        (r"(?<![A-Za-z0-9])(?:hf|api_org)_(?!(?:argparser|checkpoint|datasets|deepspeed|inference|"
         r"pipeline|pretrained|processor|quantizer|tokenizers?|transfer)(?![A-Za-z0-9]))"
         r"[A-Za-z0-9]{8,}[\w-]*", "[token]"),
        (r"(?<![A-Za-z0-9])(?:gh[opsru]_|github_pat_|glpat-|gldt-|npm_|pypi-|dop_v1_|shpat_|"
         r"xox[a-z]-|xapp-|sq0[a-z]{3}-|dckr_pat_|nvapi-|r8_|lsv2_|pplx-|gsk_|"
         r"whsec_|wandb_v1_|hv[sbr]\.|AGE-SECRET-KEY-)[\w-]{10,}",
         "[token]"),
        (r"(?<![A-Za-z0-9])(?:glsa_|glc_|figd_|xai-|fw_|tgp_v1_|rpa_|lin_api_|tskey-|ATATT|ATBB|ntn_|"
         r"secret_|pul-|cf[au]t_|PMAK-|rnd_|vercel_|sb[ps]_|sgp_|dp\.(?:pt|st|ct|sa)\.|EAA|jina_|pa-|"
         r"sntry[su]_|ph[cx]_|tvly-)(?=[\w-]*\d)[\w-]{10,}", "[token]"),
        (r"ssh-(?:rsa|dss|ed25519|ecdsa)\S* +AAAA\S+(?: +\S+@\S+)?", "[token]"),
        (r"(?<![A-Za-z0-9])(?:sk|pk|rk|ak)[-_](?=[\w-]*\d)[\w-]{16,}", "[token]"),
        (r"(?<![A-Za-z0-9])(?:A3T[A-Z0-9]|ABIA|ACCA|AGPA|AIDA|AKIA|AROA|ASCA|ASIA)[A-Z0-9]{12,}\w*",
         "[token]"),
        (r"(?<![A-Za-z0-9])(?:AIza|ya29\.|SG\.|AC(?=[0-9a-f]{32}))[\w.-]{20,}", "[token]"),
        (r"(?<![A-Za-z0-9])eyJ[\w-]{8,}(?:\.[\w-]*){0,2}", "[token]"),
        (r"(?<!\d)\d{8,10}:AA[\w-]{30,}", "[token]"),
        # Keys of Weights & Biases, Comet and others; a commit stands behind an @.
        (r"(?<![@A-Za-z0-9-])(?:0x|dapi|key-|SK)?[0-9a-f]{32,64}(?![A-Za-z0-9])", "[token]"),
        # A secret key of AWS without its name: forty characters of base64, mixed.
        (r"(?<![A-Za-z0-9/+=-])(?=[a-z0-9/+]*[A-Z])(?=[A-Z0-9/+]*[a-z])(?=[A-Za-z/+]*\d)"
         r"[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])", "[token]"),
        (r"(?<![A-Za-z0-9])arn:aws[\w-]*:[^\s'\"<>`,;)\]]+", "[address]"),
        # --- paths and files
        # From where its first word begins: from each character on, a long word takes seconds.
        (r"(?i)(?<![\w.:-])(?:[\w.:-]*%2F[\w.~-]+){2,}\S*", "[path]"),
        (rf"(?i)(?<![A-Za-z0-9]){_SCHEMES}(?:\+\w+)?(?::\w+)?:/+[^\s'\"<>`,;)\]]*", "[path]"),
        (r"(?i)(?<![A-Za-z0-9])(?!https?:|hf:)[a-z][a-z0-9+.-]{1,24}://[^\s'\"<>`,;)\]]+",
         "[path]"),
        (r"(?i)(?<![\w.-])(?:https?://)?[\w.-]*(?:\.core\.windows\.net|amazonaws\.com|storage\.googleapis\.com|"
         r"storage\.cloud\.google\.com|digitaloceanspaces\.com|r2\.cloudflarestorage\.com)\S*",
         "[path]"),
        (r"(?<=')(?:~?/|\.{1,2}/|[A-Za-z]:\\|\\\\)[^'\r\n]+(?=')", "[path]"),
        (r"(?<=\")(?:~?/|\.{1,2}/|[A-Za-z]:\\|\\\\)[^\"\r\n]+(?=\")", "[path]"),
        (rf"(?<![A-Za-z0-9])[A-Za-z]:[\\/]Users[\\/]{_PART}+(?: [A-Z]{_PART}*)*", "[path]"),
        (rf"(?<![A-Za-z0-9])[A-Za-z]:[\\/](?:{_PART}|[\\/])+{_ON_WINDOWS}", "[path]"),
        (rf"\\\\{_PART}+(?:\\{_PART}+)+{_ON_WINDOWS}", "[path]"),
        (rf"(?<![A-Za-z0-9:/.\]\\])//{_PART}+/(?:{_PART}|/)*", "[path]"),
        (rf"(?<![A-Za-z0-9/.\]])(?:~[\w.-]*|\.{{1,2}})/(?:{_PART}|/)+{_ON}", "[path]"),
        (rf"(?<![A-Za-z0-9/\]])/{_PART}+/(?:{_PART}|/)*{_ON}", "[path]"),
        (rf"(?<![A-Za-z0-9/\]])/{_PART}+(?: {_PART}+){{1,2}}/(?:{_PART}|/)*{_ON}", "[path]"),
        (rf"(?<=\d)/(?:home|root|mnt|scratch|Users)/(?:{_PART}|/)*{_ON}", "[path]"),
        (r"(?<![A-Za-z0-9/\]])/(?:home|root|tmp|mnt|data|scratch|workspaces?|content|Users|Volumes|var|"
         r"opt|srv|etc|usr|private|media|export|gpfs|lustre|nfs|dbfs|kaggle|work|project)\b",
         "[path]"),
        (r"\$\{?(?:HOME|TMPDIR|SCRATCH|WORK|USERPROFILE|PWD)\}?(?:[/\\]\S*)?|%USERPROFILE%\S*|"
         r"\$\{?[A-Z_][A-Z0-9_]*\}?[/\\]\S*|%[A-Z]+%[/\\]\S*", "[path]"),
        # A folder of the root alone, where a word before it or a digit says that it is one.
        (r"(?i)((?<![A-Za-z0-9])(?:at|below|cd|directory|dir|file|folder|from|in|into|ls|mkdir|"
         r"mount|on|open|path|to|under|(?:directory|dir|folder|home|path|root)(?: is| was)?) +|"
         rf"[=:] *|\[path\] +)/(?!\d+\b){_PART}{{2,}}", r"\1[path]"),
        (rf"^/(?!v?\d+\b){_PART}{{3,}}$", "[path]"),
        (r"(?<![A-Za-z0-9])((?:cd|ls) +)~[A-Za-z_][\w.-]*", r"\1[path]"),
        (r"(?<![A-Za-z0-9/\]])/(?!v\d+\b)(?=[A-Za-z_.-]*\d)(?=[\d_.-]*[A-Za-z])[\w.-]{3,}",
         "[path]"),
        (rf"(?<![A-Za-z0-9/.-])(?:home|Users)/{_PART}+/(?:{_PART}|/)*", "[path]"),
        (rf"(?<![A-Za-z0-9/.-])Users/{_PART}+|\\?(?<![A-Za-z0-9])Users(?:\\{_PART}+)+", "[path]"),
        # What of a path goes on in the other system's way.
        (rf"(?<=\[path\])(?:[\\/](?:{_PART}|[\\/])*{_ON_WINDOWS})+", ""),
        (rf"(?<![\w/:.\]-])(?:[\w.-]+/)*[\w.-]+{_DATA_FILE}\b(?![\w/])", "[file]"),
        # --- names of people
        (rf"(?i){_BEGIN}{_JOINED}(?:user(?:[_-]?(?:name|id))?|login|logname)"
         rf"(?:\s*=\s*(?!=)|['\"]\s*[:=]\s*|\s*:\s*(?=['\"]\w)|(?<=name)\s*:\s*)"
         rf"(?![\d.]+(?!\w)|\[|['\"]{{2}}|{_PROSE}){_VALUE}", "[name]"),
        # After a colon a sentence may follow: there one word alone is a name.
        (rf"(?i){_BEGIN}{_JOINED}(?:user(?:[_-]?id)?|login|whoami)\s*:\s*"
         rf"(?!{_PROSE}|{_SAID}|{_NOBODY})[a-z_][\w.@+-]*{_END}", "[name]"),
        (rf"(?i)(?<![A-Za-z0-9])(?:user[ _-]?name|login name|logname) {_BE} +"
         rf"(?!{_SAID}|{_PROSE}){_VALUE}", "[name]"),
        (rf"(?<![A-Za-z0-9-])--(?:user(?:[_-]?name)?|login) +(?!-|{_PROSE}){_VALUE}", "[name]"),
        (rf"(?i)(?<![A-Za-z0-9])(?:logged|signed) in as:? +(?!{_PROSE})['\"]?[\w.@-]+", "[name]"),
        (r"(?<![A-Za-z0-9])((?:e?[ug]id|groups)=\d+)(?:\([^)]*\)(?:,\d+)?)+", r"\1([name])"),
        (rf"(?<![A-Za-z0-9])(?:sudo (?:-\w+ )*-u|su -l?|chown(?: -\w+)*|"
         rf"(?:docker login|mariadb|mysql|pg_dump|psql|ssh)(?: [^,;]{{0,200}}?)? -[lUu]) +"
         rf"(?![-\[]|{_PROSE})[\w.:+-]+", "[name]"),
        # --- addresses
        (r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*:[^\s\d][^\s]*", "[address]"),
        (r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b", "[address]"),
        (r"(?i)\b(?:ssh|scp|sftp|rsync) [^,;]{0,200}?(?<![\w.-])[\w.-]+@[\w.-]+(?::\S*)?",
         "[address]"),
        (r"(?<![A-Za-z0-9.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])(?::\d+)?", "[address]"),
        (r"(?<![A-Za-z0-9:-])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![\w:-])", "[address]"),
        (r"(?i)(?<![\w.-])(?:[\w-]+\.)+(?:local|internal|intranet|corp|lan|localdomain|home\.arpa)"
         r"(?::\d+)?(?![\w.]*\w)", "[address]"),
        (r"(?<![A-Za-z0-9-])ip(?:-\d{1,3}){4}(?![A-Za-z0-9-])", "[address]"),
        # A host of one word is one of this network.
        (r"(?i)https?://(?!localhost\b)[\w-]+(?::\d+)?(?![\w.:@-])(?:/[^\s'\"<>`,;)\]]*)?",
         "[address]"),
        (rf"(?<![A-Za-z0-9])(?:[A-Z0-9_]{{0,40}}_)?(?:ADDR|ADDRESS|ENDPOINT|NODELIST|SERVER)\s*=\s*"
         rf"(?!localhost|\[){_VALUE}", "[address]"),
        (r"(?<![\w.-])[\w.-]+:\d+:\d+(?= \[\d+\] NCCL)", "[address]"),
        (rf"(?i){_BEGIN}{_JOINED}(?:host|host[_-]?name|(?:node|machine)[_-]?name)"
         r"(?:\s*=\s*|(?<=name)\s*:\s*|['\"]\s*:\s*)"
         rf"(?![\d.]+(?!\w)|\[|=|['\"]{{2}}|localhost|{_PROSE}){_VALUE}", "[address]"),
        (rf"(?i)(?<![A-Za-z0-9])host\s*:\s*(?!{_PROSE}|{_SAID}|{_NOBODY}|localhost)"
         rf"[a-z_][\w.-]*{_END}", "[address]"),
    )
)  # fmt: skip
_V6_ALONE = r"\[?(?P<address>[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{0,44})(?:%\w+)?(?:\]:\d+|\]?)(?![\w:])"
# One by itself first: the word before a colon may be the beginning of an address.
_V6 = (
    re.compile(rf"(?<![A-Za-z0-9:.]){_V6_ALONE}"),
    re.compile(rf"(?<=[A-Za-z_][:=]){_V6_ALONE}"),
)
# A long word of letters and digits in turn: no word, and no name of a model, has that.
_LONG_WORD = re.compile(r"(?<![A-Za-z0-9/@.])(?P<word>[A-Za-z0-9]{20,})[\w-]*")
_SWITCH = re.compile(r"(?<=\d)(?=[A-Za-z])|(?<=[A-Za-z])(?=\d)")
_MIN_SWITCHES = 4
_MIN_DIGITS = 4
# Names so common that they are words, not a person or a machine.
_COMMON_NAMES = frozenset(
    {"admin", "colab", "home", "localhost", "root", "runner", "ubuntu", "user"}
)


def clean_text(text: object, limit: int = MAX_TEXT) -> str:
    """`text` on one line, without paths, files, addresses, tokens, this host's or user's name."""
    line = printable(text, limit=8 * limit)
    for pattern, word in _REPLACED:
        line = pattern.sub(word, line)
    line = _LONG_WORD.sub(_without_random, line)
    for address in _V6:
        line = address.sub(_without_v6, line)
    for name in _own_names():
        line = re.sub(
            rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", "[name]", line, flags=re.I
        )
    return printable(line, limit)


def _without_random(match: re.Match[str]) -> str:
    word = match["word"]
    digits = sum(character.isdigit() for character in word)
    is_random = digits >= _MIN_DIGITS and len(_SWITCH.findall(word)) >= _MIN_SWITCHES
    return "[token]" if is_random else match[0]


def _without_v6(match: re.Match[str]) -> str:
    try:
        ipaddress.IPv6Address(match["address"])
    except ValueError:
        return match[0]
    return "[address]" if len(match["address"]) > 2 else match[0]


@lru_cache(maxsize=1)
def _own_names() -> tuple[str, ...]:
    names = {socket.gethostname(), socket.gethostname().split(".")[0], Path.home().name}
    # In many containers the user has no entry: then there is no name to hide.
    with contextlib.suppress(OSError, KeyError):
        names.add(getpass.getuser())
    telling_names = (name for name in names if len(name) >= 3 and name.lower() not in _COMMON_NAMES)
    return tuple(sorted(telling_names, key=len, reverse=True))
