"""The Python of README.md and docs/python.md runs as it stands, top to bottom."""

import json
import re
import runpy

import pytest
from helpers.paths import ROOT

BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize(
    "page", ["README.md", pytest.param("docs/python.md", marks=pytest.mark.slow)]
)
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


def test_links_of_the_readme_have_a_page_on_the_site():
    hooks = runpy.run_path(str(ROOT / "docs" / "conf.py"))
    text = [(ROOT / "README.md").read_text(encoding="utf-8")]
    hooks["_links"](None, text)
    targets = re.findall(r"\]\((?!https?://)([^)]+)\)", text[0])
    assert targets and all(target.startswith(("docs/", "/")) for target in targets), targets


@pytest.mark.parametrize(
    "path", sorted((ROOT / "notebooks").glob("0*.ipynb")), ids=lambda p: p.stem
)
def test_notebooks_show_what_they_printed(path):
    """Saved outputs of every cell that prints or ends in a value, in order and without an error."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert outputs and not any(output["output_type"] == "error" for output in outputs)
    assert path.stat().st_size < 400_000


def test_every_method_is_described():
    from estag_jax.models.catalog import METHODS

    text = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    for entry in METHODS.values():
        module = type(entry.config(1)).__module__.rpartition(".")[2]
        assert f"models/{module}.py" in text
