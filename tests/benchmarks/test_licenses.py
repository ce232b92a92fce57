"""The list of all that is installed names a license for each package that tells one."""

from __future__ import annotations

from benchmarks.licenses import complete


def test_a_license_that_is_told_as_a_line_of_text_is_in_the_list() -> None:
    known = [{"license": {"id": "MIT"}}]
    sbom = {"components": [{"name": "transformers"}, {"name": "rich", "licenses": known}]}
    assert complete(sbom) == []
    (added,) = sbom["components"][0]["licenses"]
    assert "Apache" in added["license"]["name"]
    assert sbom["components"][1]["licenses"] is known
