"""The Python of README.md and docs/python.md runs as it stands, top to bottom."""

import re

import pytest
from helpers.paths import ROOT

BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_python_blocks_run(page, tmp_path, monkeypatch, capsys):
    blocks = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    assert blocks
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"{page}, block {number}", "exec"), names)
    assert "nan" not in capsys.readouterr().out


def test_links_between_pages_lead_somewhere():
    for page in (ROOT / "README.md", ROOT / "RESULTS.md", *(ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_method_is_described():
    from estag_jax.models.catalog import METHODS

    text = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    for entry in METHODS.values():
        module = type(entry.config(1)).__module__.rpartition(".")[2]
        assert f"models/{module}.py" in text
